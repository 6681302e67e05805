"""UNIT's networks (NeurIPS 2017): an autoencoder for each domain, and discriminators of three sizes."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.networks.blocks import initialize_kaiming, initialize_normal
from charmnet.networks.cyclegan import WIDTH
from charmnet.networks.reflected_blocks import ConvUnit, Stack, leaky, residual_blocks

BLOCKS = 4
"""Residual blocks of an encoder, and of a decoder, as released."""

SCALES = 3
"""Sizes of a picture that a discriminator judges: whole, half and quarter."""


class Encoder(Stack):
    """Encoder of pictures [B,3,H,W] in -1..1 into the mean [B,4*width,H/4,W/4] of a code of variance 1."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__(
            [
                ConvUnit(3, width, 7, padding=3, norm="instance", activation=_relu()),
                _down(width),
                _down(2 * width),
                _residual_blocks(4 * width, blocks),
            ]
        )


class Decoder(Stack):
    """Decoder of codes [B,4*width,H/4,W/4] into pictures [B,3,H,W] in -1..1."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__(
            [
                _residual_blocks(4 * width, blocks),
                nn.Upsample(scale_factor=2),
                _up(4 * width),
                nn.Upsample(scale_factor=2),
                _up(2 * width),
                ConvUnit(width, 3, 7, padding=3, activation=nn.Tanh()),
            ]
        )


class Autoencoder(nn.Module):
    """Encoder and decoder of one domain; named as released.

    Args:
        width: channels of the first layer.
        blocks: residual blocks of either part.
    """

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.enc = Encoder(width, blocks)
        self.dec = Decoder(width, blocks)
        initialize_kaiming(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return [B,3,H,W] as it comes back from its code without noise."""
        output: Tensor = self.dec(self.enc(image))
        return output


class ScaledDiscriminator(nn.Module):
    """Classifiers of patches of a picture at `SCALES` sizes; named as released.

    Args:
        width: channels of the first layer.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.cnns = nn.ModuleList(_critic(width) for _ in range(SCALES))
        initialize_normal(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map [B,3,H,W] in -1..1 to scores of each size, the first [B,1,H/16,W/16]: 1 for its domain."""
        scores = []
        for critic in self.cnns:
            scores.append(critic(image))
            image = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return scores


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def _residual_blocks(channels: int, count: int) -> nn.Module:
    return residual_blocks(channels, count, "instance", _relu)


def _down(channels: int) -> nn.Module:
    return ConvUnit(channels, 2 * channels, 4, stride=2, padding=1, norm="instance", activation=_relu())


def _up(channels: int) -> nn.Module:
    return ConvUnit(channels, channels // 2, 5, padding=2, norm="layer", activation=_relu())


def _critic(width: int) -> nn.Sequential:
    layers = [
        ConvUnit(channels, out, 4, stride=2, padding=1, activation=leaky())
        for channels, out in pairwise([3, width, 2 * width, 4 * width, 8 * width])
    ]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 1))
