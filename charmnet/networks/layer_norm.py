"""Layer norm over whole samples, as the networks that descend from MUNIT have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class SampleLayerNorm(nn.Module):
    """Normalisation of each sample over all of its channels and positions, then scale and shift by channel.

    Unlike `GroupNorm(1, channels)` it divides by the sum of epsilon and the deviation, whose variance is the
    unbiased one.

    Args:
        channels: channels of the features. Scales start uniform in 0..1, shifts at 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(channels).uniform_())
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise [B,C,H,W]."""
        wide = features.float() if features.dtype is torch.bfloat16 else features
        deviation, mean = torch.std_mean(wide, dim=(1, 2, 3), keepdim=True)
        scale = self.gamma.view(1, -1, 1, 1) / (deviation + EPSILON)
        shift = self.beta.view(1, -1, 1, 1) - mean * scale
        return torch.addcmul(shift, wide, scale).to(features.dtype)
