"""Losses of intrinsic image harmonization (Guo et al., CVPR 2021), unweighted."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_WINDOW, _SIGMA = 11, 1.5  # of the structural similarity, in pixels
_C2 = 0.03**2  # for values in 0..1
_GRAY = (0.2989, 0.5870, 0.1140)  # shares of red, green and blue


def gradient_distance(image: Tensor, other: Tensor) -> Tensor:
    """Return the mean distance of two pictures' absolute gradients, a scalar; both are [B,3,H,W].

    A gradient is the difference to the pixel before, of the sum over the channels; before the first there are
    zeros. The means over horizontal and vertical gradients are added.
    """
    sums = [picture.sum(dim=1, keepdim=True) for picture in (image, other)]
    distances = []
    for dim in (2, 3):
        first, second = (_difference_to_before(values, dim).abs() for values in sums)
        distances.append((first - second).abs().mean())
    return distances[0] + distances[1]


def _difference_to_before(values: Tensor, dim: int) -> Tensor:
    return torch.diff(values, dim=dim, prepend=torch.zeros_like(values.narrow(dim, 0, 1)))


def second_order_smoothness(image: Tensor) -> Tensor:
    """Return the sum of the mean absolute second differences of [B,3,H,W], the mixed one twice, a scalar."""
    by_row, by_column = image.diff(dim=2), image.diff(dim=3)
    mixed = by_row.diff(dim=3).abs().mean()
    return by_row.diff(dim=2).abs().mean() + by_column.diff(dim=3).abs().mean() + 2 * mixed


def contrast_structure_dissimilarity(features: Tensor, ground_truth: Tensor) -> Tensor:
    """Return half of 1 minus the mean of the structural similarity's second factor, a scalar.

    The means, variances and covariance are over 11x11 Gaussian windows around each pixel, with zeros outside.

    Args:
        features: [B,1,h,w].
        ground_truth: [B,3,H,W] in 0..1, of which the nearest pixels are taken, and their grey values.
    """
    nearest = F.interpolate(ground_truth, size=features.shape[2:])
    gray = torch.stack([share * nearest[:, i] for i, share in enumerate(_GRAY)]).sum(dim=0)[:, None]
    pictures = torch.cat([features, gray, features**2, gray**2, features * gray])
    means = F.conv2d(pictures, _gaussian_window(features), padding=_WINDOW // 2).chunk(5)
    variances = means[2] - means[0] ** 2 + means[3] - means[1] ** 2
    covariance = means[4] - means[0] * means[1]
    return (1 - ((2 * covariance + _C2) / (variances + _C2)).mean()) / 2


def _gaussian_window(like: Tensor) -> Tensor:
    """Return the weights [1,1,11,11], rounded to float32 as the released ones are."""
    distances = torch.arange(_WINDOW, dtype=torch.float64, device=like.device) - _WINDOW // 2
    row = torch.exp(-(distances**2) / (2 * _SIGMA**2)).float()
    row = row / row.sum()
    return torch.outer(row, row)[None, None].to(like.dtype)
