"""The losses of CharmNet (BMVC 2022) and iDIH (WACV 2021), computed in float32 or better.

Style losses take logits where the released code takes the logarithm of a softmax: the same values without
its underflow.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

MIN_FOREGROUND_AREA = 100.0
"""Pixels that a smaller foreground is counted as, so that it does not dominate the batch."""


def foreground_normalized_mse(harmonized: Tensor, ground_truth: Tensor, foreground_mask: Tensor) -> Tensor:
    """[B] squared error of all pixels over three times the foreground's area (at least 100 pixels).

    The whole image counts, as in the released code: what the network spoils in the background it pays for.
    """
    squared_error = (harmonized - ground_truth).square().sum(dim=(1, 2, 3))
    area = foreground_mask.sum(dim=(1, 2, 3)).clamp(min=MIN_FOREGROUND_AREA)
    return squared_error / (harmonized.shape[1] * area)


def discriminator_hinge(rendered_logits: Tensor, real_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's two terms: rendered features are to score -1 or less, real ones 1 or more."""
    return F.relu(1.0 + rendered_logits).mean(), F.relu(1.0 - real_logits).mean()


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Batch mean of the cross entropy against [B,K] target probabilities."""
    return -(probabilities * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def entropy(logits: Tensor) -> Tensor:
    """Batch mean of the entropy of softmax(logits)."""
    return soft_cross_entropy(logits, F.softmax(logits, dim=1))


def style_aggregation(
    before_logits: Tensor, after_logits: Tensor, margin: float = 1.0, share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """What is asked of real images' styles, for which there are no labels.

    Args:
        before_logits, after_logits: [B,10] from features before and after harmonization.
        margin: how much the style is to be surer after harmonization than before, in nats.
        share: what this worker's samples weigh in the mean over workers (see `Method.update`).

    Returns:
        Their consistency: the cross entropy of after against before, whose gradient reaches both. And the
        margin loss: max(0, margin - H(before) + H(after)), with entropies averaged over the batches of all
        workers before the maximum is taken, so that their number changes nothing.
    """
    consistency = soft_cross_entropy(after_logits, F.softmax(before_logits, dim=1))
    violation = margin - entropy(before_logits) + entropy(after_logits)
    return consistency, _rectified_mean_over_workers(violation, share)


def _rectified_mean_over_workers(local: Tensor, share: float) -> Tensor:
    """max(0, mean over workers) whose gradient, weighted by the share and averaged, is that of the mean.

    The gradient needs no communication: it is the local one, or none when the mean is not above zero.
    """
    mean = mean_over_workers(share * local.detach())
    # Written so that a NaN stays one; the comparison the other way round would hide it.
    return torch.where(mean <= 0, torch.zeros_like(local), mean + (local - local.detach()))


def mean_over_workers(value: Tensor) -> Tensor:
    """The tensor averaged over the processes of the default group; itself where there is one process."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
