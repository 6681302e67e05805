"""UNIT's networks (NeurIPS 2017): an autoencoder for each domain, and discriminators of three sizes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.networks.blocks import initialize_kaiming, initialize_normal
from charmnet.networks.cyclegan import WIDTH
from charmnet.networks.instance_norm import InstanceNorm2d
from charmnet.networks.layer_norm import SampleLayerNorm

BLOCKS = 4
"""Residual blocks of an encoder, and of a decoder, as released."""

SCALES = 3
"""Sizes of a picture that a discriminator critics: whole, half and quarter."""


class PaddedConvolution(nn.Module):
    """A convolution of a picture that is mirrored at its edges, with norm and activation."""

    def __init__(self, convolution: nn.Conv2d, padding: int, norm: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(padding)
        self.norm = norm
        self.activation = activation
        self.conv = convolution  # after the norm, as in released files

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,H,W] to the convolution's channels and size."""
        output: Tensor = self.activation(self.norm(self.conv(self.pad(features))))
        return output


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(_same(channels, nn.ReLU(inplace=True)), _same(channels, nn.Identity()))

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = features + self.model(features)
        return output


class _ResidualBlocks(nn.Module):
    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*(_ResidualBlock(channels) for _ in range(blocks)))

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.model(features)
        return output


class Encoder(nn.Module):
    """Encoder of pictures of one domain into a code of a quarter of their size."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            _down(nn.Conv2d(3, width, 7), 3),
            _down(nn.Conv2d(width, 2 * width, 4, stride=2), 1),
            _down(nn.Conv2d(2 * width, 4 * width, 4, stride=2), 1),
            _ResidualBlocks(4 * width, blocks),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,3,H,W] in -1..1 to the code's mean [B,4*width,H/4,W/4]; its variance is 1."""
        code: Tensor = self.model(image)
        return code


class Decoder(nn.Module):
    """Decoder of codes into pictures of one domain."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        last = PaddedConvolution(nn.Conv2d(width, 3, 7), 3, nn.Identity(), nn.Tanh())
        self.model = nn.Sequential(
            _ResidualBlocks(4 * width, blocks),
            nn.Upsample(scale_factor=2),
            _up(4 * width, 2 * width),
            nn.Upsample(scale_factor=2),
            _up(2 * width, width),
            last,
        )

    def forward(self, code: Tensor) -> Tensor:
        """Map a code [B,4*width,H/4,W/4] to [B,3,H,W] in -1..1."""
        image: Tensor = self.model(code)
        return image


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


def _down(convolution: nn.Conv2d, padding: int) -> PaddedConvolution:
    norm = InstanceNorm2d(convolution.out_channels)
    return PaddedConvolution(convolution, padding, norm, nn.ReLU(inplace=True))


def _same(channels: int, activation: nn.Module) -> PaddedConvolution:
    norm = InstanceNorm2d(channels)
    return PaddedConvolution(nn.Conv2d(channels, channels, 3), 1, norm, activation)


def _up(channels: int, out_channels: int) -> PaddedConvolution:
    convolution = nn.Conv2d(channels, out_channels, 5)
    return PaddedConvolution(convolution, 2, SampleLayerNorm(out_channels), nn.ReLU(inplace=True))


def _critic(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for out_channels in (width, 2 * width, 4 * width, 8 * width):
        convolution = nn.Conv2d(channels, out_channels, 4, stride=2)
        layers.append(PaddedConvolution(convolution, 1, nn.Identity(), nn.LeakyReLU(0.2, inplace=True)))
        channels = out_channels
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))
