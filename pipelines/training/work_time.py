"""How long a worker works by itself in each step, measured without waiting for anything."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

Moment = float | torch.cuda.Event


class WorkTime:
    """Time from the end of each update to the end of the next one's first forward pass.

    Between these two no worker waits for another: gradients are exchanged in the backward passes. On a GPU
    both are events in its stream, read once they are over.

    Args:
        device: device that the worker computes on.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._begun: Moment | None = None
        self._forward: Moment | None = None
        self._steps: list[tuple[Moment, Moment]] = []

    def watch(self, network: nn.Module) -> nn.Module:
        """Take notice of a network's forward passes; return it."""
        network.register_forward_hook(self._end_forward)
        return network

    def begin(self) -> None:
        """Begin to work: an update has ended, or whatever came between two steps."""
        self._begun, self._forward = self._now(), None

    def end_step(self) -> None:
        """Note the step that ends now, and begin the next."""
        if self._begun is not None and self._forward is not None:
            self._steps.append((self._begun, self._forward))
        self.begin()

    def close(self) -> float:
        """Return the mean of the steps in seconds, 0 where there is none, and forget them."""
        steps, self._steps = self._steps, []
        return sum(_seconds(begun, ended) for begun, ended in steps) / max(1, len(steps))

    def _end_forward(self, *_: Any) -> None:
        recording = self._on_gpu and torch.cuda.is_current_stream_capturing()
        if self._forward is None and not recording:
            self._forward = self._now()

    def _now(self) -> Moment:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _seconds(begun: Moment, ended: Moment) -> float:
    if isinstance(begun, torch.cuda.Event) and isinstance(ended, torch.cuda.Event):
        ended.synchronize()  # long over: the window's metrics were read
        return float(begun.elapsed_time(ended)) / 1000
    assert isinstance(begun, float)
    assert isinstance(ended, float)
    return ended - begun
