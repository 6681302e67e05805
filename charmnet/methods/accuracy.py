"""Accuracies of an update's classifiers, as metrics."""

from __future__ import annotations

from torch import Tensor


def discriminator_accuracy(rendered_right: Tensor, real_right: Tensor) -> dict[str, Tensor]:
    """Return the shares of right decisions by metric name, over both domains and by domain.

    Args:
        rendered_right: whether each decision on rendered samples is right, of any shape.
        real_right: the same for real samples.
    """
    rendered, real = rendered_right.float().mean(), real_right.float().mean()
    return {
        "discriminator_accuracy": (rendered + real) / 2,
        "discriminator_accuracy_rendered": rendered,
        "discriminator_accuracy_real": real,
    }


def agreement(predicted: Tensor, expected: Tensor) -> Tensor:
    """Return the share of equal classes, a scalar; both are [B]."""
    return (predicted == expected).float().mean()
