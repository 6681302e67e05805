"""Exponential moving average of a method's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from charmnet.errors import WeightsError
from charmnet.methods import Method
from charmnet.networks.batch_norm import statistics_names, synchronize

_WARM_UP_STEPS = 10


class WeightAverage:
    """Moving average of all floating-point weights and running statistics of a method's networks.

    In the first steps the decay is smaller, (1 + step) / (10 + step), so that initial weights are soon
    forgotten.

    Args:
        method: method whose networks are averaged, on their device.
        decay: share of the average that a step keeps, in 0..1.
    """

    def __init__(self, method: Method, decay: float) -> None:
        self.decay = decay
        self._current = method_state(method)
        self._averages = {key: tensor.detach().clone() for key, tensor in self._current.items()}
        self._statistics = [
            f"{name}.{key}" for name, network in method.modules.items() for key in statistics_names(network)
        ]
        self._floating = [key for key, tensor in self._current.items() if tensor.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step.

        Args:
            step: number of finished steps before it.
        """
        decay = min(self.decay, (1 + step) / (_WARM_UP_STEPS + step))
        averages = [self._averages[key] for key in self._floating]
        torch._foreach_lerp_(averages, [self._current[key].detach() for key in self._floating], 1.0 - decay)

    @torch.no_grad()
    def restart(self) -> None:
        """Begin anew with the method's present weights."""
        for key in self._floating:
            self._averages[key].copy_(self._current[key])

    @torch.no_grad()
    def synchronize_statistics(self) -> None:
        """Average the averages of running statistics over the workers, who all call it at once."""
        synchronize([self._averages[key] for key in self._statistics])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the method's networks have the averaged weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        """Exchange averages and weights in place: a recorded update knows where the weights lie."""
        for key in self._floating:
            weights = self._current[key]
            kept = weights.detach().clone()
            weights.copy_(self._averages[key])
            self._averages[key].copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """Return the averages by `network.key`, with the method's own counters."""
        return {key: self._averages[key] if key in self._floating else t for key, t in self._current.items()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned.

        Raises:
            WeightsError: it is of other networks.
        """
        for key in self._floating:
            if key not in state or state[key].shape != self._averages[key].shape:
                raise WeightsError(f"the average of {key} is missing or of another shape")
            self._averages[key].copy_(state[key])


def method_state(method: Method) -> dict[str, Tensor]:
    """Return the tensors of a method's networks by `network.key`, which share their memory."""
    return {
        f"{name}.{key}": tensor
        for name, network in method.modules.items()
        for key, tensor in network.state_dict().items()
    }
