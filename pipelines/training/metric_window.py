"""What is collected over a few steps, and read off the device once."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from charmnet.errors import NonFiniteLossError
from charmnet.losses import mean_over_workers


@dataclass
class MetricWindow:
    """The values of a window of steps, averaged over the steps and the workers when it ends.

    Attributes:
        batch_size: pairs of a global step.
    """

    batch_size: int
    _values: list[Tensor] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _sample_ids: list[list[str]] = field(default_factory=list)
    _waited_seconds: float = 0.0
    _started: float = field(default_factory=time.perf_counter)

    def add(
        self, metrics: Mapping[str, Tensor], sample_ids: list[str], waited_seconds: float, share: float = 1.0
    ) -> None:
        """One step's scalars, weighted by the worker's share; nothing is read off the device."""
        self._names = sorted(metrics)
        self._values.append(share * torch.stack([metrics[name].float() for name in self._names]))
        self._sample_ids.append(sample_ids)
        self._waited_seconds += waited_seconds

    def close(self, step: int) -> dict[str, float]:
        """The means by metric, throughput and data wait; begins a new window.

        Every worker has to call it at the same step.

        Raises:
            NonFiniteLossError: on all workers at once, when a value was not finite on one of them; where the
                step was this worker's, its samples are named.
        """
        if not self._values:
            return {}
        values = torch.stack(self._values)  # [steps, metrics]
        means = dict(zip(self._names, mean_over_workers(values.mean(0)).tolist(), strict=True))
        broken = sorted(name for name, value in means.items() if not math.isfinite(value))
        if broken:
            raise NonFiniteLossError(self._describe(values.cpu(), step, broken))
        seconds = time.perf_counter() - self._started
        steps = len(self._values)
        result = {
            **means,
            "pairs_per_second": steps * self.batch_size / seconds,
            "data_wait_fraction": self._waited_seconds / seconds,
        }
        self.restart()
        return result

    def restart(self) -> None:
        """Forgets the window and its clock: what came between two windows is not training."""
        self._values, self._sample_ids, self._waited_seconds = [], [], 0.0
        self._started = time.perf_counter()

    def _describe(self, values: Tensor, step: int, broken: list[str]) -> str:
        steps = [index for index, row in enumerate(values) if not row.isfinite().all()]
        if not steps:
            return f"{', '.join(broken)} not finite within the steps up to {step}, on another worker"
        first = steps[0]
        names = [name for name, value in zip(self._names, values[first], strict=True) if not value.isfinite()]
        return (
            f"{', '.join(names)} not finite at step {step - len(values) + first + 1}, samples "
            f"{', '.join(self._sample_ids[first])}; lower learning_rate, use precision=float32, or look at "
            "these samples with `charmnet inspect`"
        )
