"""Losses of CharmNet (BMVC 2022) and iDIH (WACV 2021), computed in float32 or better.

Style losses take logits where the released code takes the logarithm of a softmax: the same values without
its underflow.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

MIN_FOREGROUND_AREA = 100.0
"""Pixels of 256x256; a smaller foreground counts as this many, so that it does not dominate the batch."""


def foreground_normalized_mse(
    harmonized: Tensor,
    ground_truth: Tensor,
    foreground_mask: Tensor,
    least_area: float = MIN_FOREGROUND_AREA,
) -> Tensor:
    """Divide the squared error of all pixels by three times the foreground's area.

    The whole image counts, as in the released code: background errors count, too.

    Args:
        harmonized: [B,3,H,W].
        ground_truth: [B,3,H,W] in the same space.
        foreground_mask: [B,1,H,W], 1 = foreground.
        least_area: pixels that a foreground counts as at least.

    Returns:
        [B], one value a sample.
    """
    squared_error = (harmonized - ground_truth).square().sum(dim=(1, 2, 3))
    area = foreground_mask.sum(dim=(1, 2, 3)).clamp(min=least_area)
    return squared_error / (harmonized.shape[1] * area)


def discriminator_hinge(rendered_logits: Tensor, real_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the discriminator's hinge terms: rendered features are to score -1 or less, real ones 1 or more.

    Args:
        rendered_logits: of any shape.
        real_logits: of any shape.

    Returns:
        The mean of either term; their sum is the loss.
    """
    return F.relu(1.0 + rendered_logits).mean(), F.relu(1.0 - real_logits).mean()


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Return the batch mean of the cross entropy of [B,K] logits against [B,K] target probabilities."""
    return -(probabilities * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def entropy(logits: Tensor) -> Tensor:
    """Return the batch mean of the entropy of softmax(logits), in nats; logits are [B,K]."""
    return soft_cross_entropy(logits, F.softmax(logits, dim=1))


def style_aggregation(
    before_logits: Tensor, after_logits: Tensor, margin: float = 1.0, share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the consistency and the margin loss of real images' styles, for which there are no labels.

    Args:
        before_logits: [B,10] from features before harmonization.
        after_logits: [B,10] from features after harmonization.
        margin: entropy that the style is to lose by harmonization, in nats.
        share: weight of this worker's samples in the mean over workers (see `Method.update`).

    Returns:
        Consistency: the cross entropy of after against before, whose gradient reaches both. Margin loss:
        max(0, margin - H(before) + H(after)), with entropies averaged over the batches of all workers before
        the maximum is taken, so that the number of workers changes nothing.
    """
    consistency = soft_cross_entropy(after_logits, F.softmax(before_logits, dim=1))
    violation = margin - entropy(before_logits) + entropy(after_logits)
    return consistency, _rectified_mean_over_workers(violation, share)


def _rectified_mean_over_workers(local: Tensor, share: float) -> Tensor:
    """Return max(0, mean over workers) whose gradient, weighted by the share and averaged, is the mean's.

    The gradient needs no communication: it is the local one, or none when the mean is not above zero.
    """
    mean = mean_over_workers(share * local.detach())
    # Written so that a NaN stays one; the comparison the other way round would hide it.
    return torch.where(mean <= 0, torch.zeros_like(local), mean + (local - local.detach()))


def mean_over_workers(value: Tensor) -> Tensor:
    """Average a tensor over the processes of the default group; one process gets the tensor itself."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
