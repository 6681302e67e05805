"""Accuracies of an update's classifiers, as metrics."""

from __future__ import annotations

import torch
from torch import Tensor


def discriminator_accuracy(name: str = "discriminator_accuracy", **right: Tensor) -> dict[str, Tensor]:
    """Return the shares of right decisions by metric name: their mean, and that of each kind of sample.

    Args:
        name: of the mean; the others add their kind to it.
        right: by the kind of sample, whether each decision on such samples is right, of any shape.
    """
    shares = {f"{name}_{kind}": decisions.float().mean() for kind, decisions in right.items()}
    return {name: torch.stack(list(shares.values())).mean(), **shares}


def agreement(predicted: Tensor, expected: Tensor) -> Tensor:
    """Return the share of equal classes, a scalar; both are [B]."""
    return (predicted == expected).float().mean()
