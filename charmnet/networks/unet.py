"""U-Net of eight levels with gated skip connections, the generator of DoveNet and of RainNet."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.networks.blocks import convolve_before_norm
from charmnet.networks.region_norm import RegionAwareNorm

LEVELS = 8
"""Levels, each of which halves height and width: 256 pixels come down to 1."""

LEAKY_SLOPE = 0.2
"""Slope below zero of leaky rectifiers."""

_DROPOUT_LEVELS = range(5, LEVELS)
_GATED_LEVELS = range(2, 5)


def level_widths(width: int) -> list[int]:
    """Return the channels after the downward convolution of each level: doubled to the fourth, then equal."""
    return [width * min(2**level, 8) for level in range(LEVELS)]


class UNet(nn.Module):
    """Generator that makes pictures in -1..1 of such with a foreground mask.

    A level's skip connection carries what its downward convolution takes in, after the leaky rectifier: the
    released networks rectify it in place, so that what they concatenate is rectified, too.

    Args:
        width: channels of the first level (64 as published).
        norms: make the norms of the way down and of the way up, given channels.
        sees_mask: whether the first convolution takes the mask as a fourth channel.
        bias: whether convolutions beside the outermost have biases; gates have them always.
        dropout: share of values that levels 5 to 7 drop in training on the way up.
    """

    def __init__(
        self,
        width: int,
        norms: tuple[Callable[[int], nn.Module], Callable[[int], nn.Module]],
        *,
        sees_mask: bool,
        bias: bool,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.sees_mask = sees_mask
        widths, (down_norm, up_norm) = level_widths(width), norms
        self.down = nn.ModuleList(
            nn.Conv2d(channels, out, 4, stride=2, padding=1, bias=bias)
            for channels, out in zip([4 if sees_mask else 3, *widths], widths, strict=False)
        )
        self.down_norms = nn.ModuleList(map(down_norm, widths[1:-1]))
        self.up = nn.ModuleList()
        self.up_norms = nn.ModuleList()
        for level in range(LEVELS, 1, -1):  # innermost first, as they are used
            channels = widths[level - 1] * (1 if level == LEVELS else 2)
            out = widths[level - 2]
            self.up.append(nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=bias))
            self.up_norms.append(up_norm(out))
        self.gates = nn.ModuleList(
            nn.Conv2d(2 * widths[level - 2], 2 * widths[level - 2], 1) for level in reversed(_GATED_LEVELS)
        )
        self.to_image = nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, image: Tensor, foreground_mask: Tensor) -> Tensor:
        """Return [B,3,256,256] in -1..1.

        Args:
            image: [B,3,256,256] in -1..1.
            foreground_mask: [B,1,256,256], 1 = foreground.
        """
        seen = torch.cat([image, foreground_mask], 1) if self.sees_mask else image
        features = self.down[0](seen)
        skips = []
        for level, convolution in enumerate(self.down[1:], 2):
            skips.append(F.leaky_relu(features, LEAKY_SLOPE))
            if level == LEVELS:
                features = convolution(skips[-1])
            else:
                features = self.down_norms[level - 2](convolve_before_norm(skips[-1], convolution))
        for index, (convolution, norm) in enumerate(zip(self.up, self.up_norms, strict=True)):
            level = LEVELS - index
            upward = convolve_before_norm(F.relu(features), convolution)
            by_region = isinstance(norm, RegionAwareNorm)
            upward = norm(upward, foreground_mask) if by_region else norm(upward)
            if level in _DROPOUT_LEVELS:
                upward = self.dropout(upward)
            features = torch.cat([skips.pop(), upward], 1)
            if level in _GATED_LEVELS:
                gate = self.gates[_GATED_LEVELS[-1] - level]
                features = torch.sigmoid(gate(features)) * features
        return torch.tanh(self.to_image(F.relu(features)))
