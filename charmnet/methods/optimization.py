"""Step of a method's optimizers down a loss, over the parts of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Method
from charmnet.methods.gradients import gradient_norm, parameters_of
from charmnet.vocabulary import Domain

Batches = Mapping[Domain, HarmonizationBatch]
"""A worker's samples, or a part of them, by domain."""


def optimize(
    method: Method,
    optimizers: Sequence[str],
    losses: Callable[[Batches], tuple[Tensor, Mapping[str, Tensor]]],
    batches: Batches,
    gradient_weight: float,
    *wrapped: nn.Module,
) -> dict[str, Tensor]:
    """Step optimizers down a loss; return its metrics and the norm of each optimizer's gradients.

    Args:
        method: the method in training.
        optimizers: names of its optimizers that step.
        losses: returns, for a part of the batches, the loss that is differentiated and scalar metrics.
        batches: see `Method.update`.
        gradient_weight: see `Method.update`.
        wrapped: networks whose gradients workers exchange, see `Method.parts`.
    """
    for name in optimizers:
        method.optimizers[name].zero_grad()
    metrics = []
    for part, share in method.parts(batches, *wrapped):
        loss, values = losses(part)
        (gradient_weight * share * loss).backward()
        metrics.append(({name: value.detach() for name, value in values.items()}, share))
    norms = {
        f"grad_norm_{name}": gradient_norm(parameters_of(method.optimizers[name])) for name in optimizers
    }
    for name in optimizers:
        method.step(name)
    return mean_metrics(metrics) | norms


def mean_metrics(parts: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
    """Return the metrics of an update from those of its parts and their shares."""
    if len(parts) == 1:
        return dict(parts[0][0])
    return {
        name: torch.stack([share * values[name] for values, share in parts]).sum() for name in parts[0][0]
    }
