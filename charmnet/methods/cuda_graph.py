"""An update recorded as a CUDA graph, so that a GPU does not wait for its small kernels to be launched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Method
from charmnet.vocabulary import Domain

UPDATES_BEFORE_RECORDING = 3
"""Eager updates before the recording: torch's libraries choose their kernels and Adam makes its state."""


class CudaGraphUpdate:
    """`Method.update` of one process on a GPU, from the fourth call on as one CUDA graph.

    The graph refers to the memory of weights and optimizer state: both must exist before the first call and
    stay where they are. Learning rates may change.
    """

    def __init__(self, method: Method) -> None:
        self._method = method
        self._updates = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: dict[Domain, HarmonizationBatch] = {}
        self._rates: list[Tensor] = []
        self._names: list[str] = []
        self._values = torch.empty(0)

    def __call__(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Run the first updates eagerly, then record one as a CUDA graph and replay it; return its metrics.

        Raises:
            ValueError: a batch has other shapes than the recorded one, or the gradient weight is not 1.
        """
        if gradient_weight != 1.0:
            raise ValueError(
                f"gradient_weight is {gradient_weight}, expected 1: a recorded update has the whole batch"
            )
        self._updates += 1
        if self._updates <= UPDATES_BEFORE_RECORDING:
            return self._update_beside(batches)
        if self._graph is None:
            self._record(batches)
        assert self._graph is not None
        own_batches = {domain: batches[domain] for domain in self._inputs}
        for own, given in zip(_tensors(self._inputs), _tensors(own_batches), strict=True):
            if own.shape != given.shape:
                raise ValueError(f"a tensor has shape {tuple(given.shape)}, recorded {tuple(own.shape)}")
            own.copy_(given)
        for rate, group in zip(self._rates, self._groups(), strict=True):
            rate.fill_(group["lr"])
        self._graph.replay()
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))

    def _update_beside(self, batches: Mapping[Domain, HarmonizationBatch]) -> dict[str, Tensor]:
        """Update on a separate stream: what is recorded later must not depend on the default one."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            metrics = self._method.update(batches)
        torch.cuda.current_stream().wait_stream(stream)
        return metrics

    def _record(self, batches: Mapping[Domain, HarmonizationBatch]) -> None:
        """Record an update, which computes nothing."""
        self._inputs = {domain: batches[domain].map(torch.clone) for domain in sorted(self._method.domains)}
        self._graph = torch.cuda.CUDAGraph()
        # Other threads (of the tracker, of uploads) may use the GPU meanwhile.
        with (
            self._rates_on_device(),
            torch.cuda.graph(self._graph, capture_error_mode="thread_local"),
        ):
            metrics = self._method.update(self._inputs)
            self._names = list(metrics)
            self._values = torch.stack([metrics[name].float() for name in self._names])

    @contextmanager
    def _rates_on_device(self) -> Iterator[None]:
        """Inside, learning rates are tensors, which a replay reads; outside numbers, as in checkpoints."""
        device = next(_tensors(self._inputs)).device
        before = [(group["lr"], group["capturable"]) for group in self._groups()]
        self._rates = [torch.full((), rate, device=device) for rate, _ in before]
        for group, rate in zip(self._groups(), self._rates, strict=True):
            group.update(lr=rate, capturable=True)
        try:
            yield
        finally:
            for group, (rate, capturable) in zip(self._groups(), before, strict=True):
                group.update(lr=rate, capturable=capturable)

    def _groups(self) -> Iterator[dict[str, Any]]:
        for optimizer in self._method.optimizers.values():
            yield from optimizer.param_groups


def _tensors(batches: Mapping[Domain, HarmonizationBatch]) -> Iterator[Tensor]:
    """Yield the tensors of all domains, always in the same order."""
    for domain in sorted(batches):
        yield from batches[domain].tensors().values()
