"""Instance norm of foreground and background apart (RAIN), of RainNet (CVPR 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-5


class RegionAwareNorm(nn.Module):
    """Instance norm of foreground and background apart (RAIN).

    The foreground is given the background's mean and deviation, then a scale and shift of its own. A region
    that is empty at the features' size counts as one of mean 0 and deviation sqrt(1e-5).

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.foreground_gamma = nn.Parameter(torch.zeros(channels))
        self.foreground_beta = nn.Parameter(torch.zeros(channels))
        self.background_gamma = nn.Parameter(torch.zeros(channels))
        self.background_beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor, foreground_mask: Tensor) -> Tensor:
        """Normalize [B,C,H,W] features; the mask [B,1,h,w] is brought to their size by nearest pixels."""
        values = features.float() if features.dtype == torch.bfloat16 else features
        foreground = F.interpolate(foreground_mask.to(values.dtype), values.shape[-2:])
        background = 1 - foreground
        mean, deviation = _statistics(values, foreground)
        style_mean, style_deviation = _statistics(values, background)
        scale, shift = (1 + self.background_gamma)[:, None, None], self.background_beta[:, None, None]
        rest = ((values - style_mean) / style_deviation * scale + shift) * background
        scale, shift = (1 + self.foreground_gamma)[:, None, None], self.foreground_beta[:, None, None]
        styled = (values - mean) * (style_deviation / deviation) + style_mean
        output: Tensor = (styled * scale + shift) * foreground + rest
        return output.to(features.dtype)


def _statistics(features: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [B,C,1,1] of a region's features."""
    area = region.sum((2, 3), keepdim=True) + _EPSILON
    mean = (features * region).sum((2, 3), keepdim=True) / area
    variance = ((features - mean) * region).square().sum((2, 3), keepdim=True) / area
    return mean, (variance + _EPSILON).sqrt()
