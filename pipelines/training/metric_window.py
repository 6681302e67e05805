"""Metrics that are collected over a few steps and read off the device once."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from charmnet.errors import NonFiniteLossError
from charmnet.losses import mean_over_workers
from pipelines.training.stragglers import RankTimings
from pipelines.training.work_time import WorkTime


@dataclass
class MetricWindow:
    """The values of a window of steps, averaged over the steps and the workers when it ends.

    Attributes:
        batch_size: pairs of a global step.
        work_time: measures this worker's own time; None where it is alone.
        timings: times by rank of the window that was closed last, where there is more than one worker.
    """

    batch_size: int
    work_time: WorkTime | None = None
    timings: RankTimings | None = None
    _values: list[Tensor] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _sample_ids: list[list[str]] = field(default_factory=list)
    _waited_seconds: float = 0.0
    _started: float = field(default_factory=time.perf_counter)

    def add(
        self, metrics: Mapping[str, Tensor], sample_ids: list[str], waited_seconds: float, share: float = 1.0
    ) -> None:
        """Add one step's scalars, weighted by the worker's share; nothing is read off the device."""
        self._names = sorted(metrics)
        self._values.append(share * torch.stack([metrics[name].float() for name in self._names]))
        self._sample_ids.append(sample_ids)
        self._waited_seconds += waited_seconds
        if self.work_time is not None:
            self.work_time.end_step()

    def close(self, step: int) -> dict[str, float]:
        """Return means by metric, throughput and this worker's data wait; begin a new window.

        Every worker has to call it at the same step.

        Raises:
            NonFiniteLossError: on all workers at once, when a value was not finite on one of them; names the
                values, the step and that worker's samples.
        """
        if not self._values:
            return {}
        values = torch.stack(self._values)  # [steps, metrics]
        means = dict(zip(self._names, mean_over_workers(values.mean(0)).tolist(), strict=True))
        if not all(map(math.isfinite, means.values())):
            raise NonFiniteLossError(self._blame(values.cpu(), step))
        steps = len(self._values)
        seconds = self._exchange_times(time.perf_counter() - self._started, steps, values.device)
        result = {
            **means,
            "pairs_per_second": steps * self.batch_size / seconds,
            "data_wait_fraction": self._waited_seconds / seconds,
        }
        self.restart()
        return result

    def restart(self) -> None:
        """Begin a new window now: time between two windows is no training."""
        self._values, self._sample_ids, self._waited_seconds = [], [], 0.0
        self._started = time.perf_counter()
        if self.work_time is not None:
            self.work_time.begin()

    def _exchange_times(self, passed: float, steps: int, device: torch.device) -> float:
        """Return how long the window took, the same on all workers, and keep the times of each."""
        if self.work_time is None:
            return mean_over_workers(torch.tensor(passed, device=device)).item()
        own = torch.tensor([passed, self.work_time.close(), self._waited_seconds / steps], device=device)
        everyone = own.new_empty(dist.get_world_size() * len(own))  # flat, as gloo takes it
        dist.all_gather_single(everyone, own)
        passes, works, waits = everyone.view(-1, len(own)).T.tolist()
        seconds: float = sum(passes) / len(passes)
        self.timings = RankTimings(steps, seconds / steps, tuple(works), tuple(waits))
        return seconds

    def _blame(self, values: Tensor, step: int) -> str:
        """Return the message of all workers: the first broken step of the worker where it began.

        A gradient is averaged before anyone can look, so one worker's NaN is in everyone's norms within the
        same step; but it is in more of the values of the one that has the samples.
        """
        finite = values.isfinite()
        first = next((index for index, row in enumerate(finite) if not row.all()), len(finite))
        names = [name for name, good in zip(self._names, finite[first], strict=True) if not good]
        message = (
            f"{', '.join(names)} not finite at step {step - len(values) + first + 1}, samples "
            f"{', '.join(self._sample_ids[first])}; lower learning_rate, use precision=float32, or look at "
            "these samples with `charmnet inspect`"
        )
        result: str = min(_from_all_workers((first, -len(names), message)))[2]
        return result


def _from_all_workers(value: Any) -> list[Any]:
    """Return the value of every process of the default group."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
