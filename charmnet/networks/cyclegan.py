"""CycleGAN's networks (ICCV 2017): a residual generator and a discriminator of patches."""

from __future__ import annotations

from torch import Tensor, nn

from charmnet.networks.blocks import initialize_normal
from charmnet.networks.instance_norm import InstanceNorm2d

WIDTH = 64
"""Channels of the first layer as released."""

BLOCKS = 9
"""Residual blocks of the generator as released."""

DOWNSAMPLING = 4
"""Factor by which the generator's residual blocks are smaller than the picture."""


class ResidualBlock(nn.Module):
    """Two convolutions of 3x3 pixels with instance norms, whose result is added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,H,W] to the same shape."""
        output: Tensor = features + self.conv_block(features)
        return output


class ResidualGenerator(nn.Module):
    """Translator of pictures: two layers down, residual blocks, two layers up; named as released.

    Args:
        width: channels of the first layer.
        blocks: residual blocks.
    """

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normalized(nn.Conv2d(3, width, 7)),
            *normalized(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)),
            *normalized(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)),
            *(ResidualBlock(4 * width) for _ in range(blocks)),
            *normalized(_doubling(4 * width, 2 * width)),
            *normalized(_doubling(2 * width, width)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )
        initialize_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,3,H,W] in -1..1 to the same, with sides of a multiple of `DOWNSAMPLING`, 8 at least."""
        output: Tensor = self.model(image)
        return output


class PatchDiscriminator(nn.Module):
    """Classifier of overlapping patches of 70x70 pixels; named as released.

    Args:
        width: channels of the first layer.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *leaky(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            *leaky(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
            *leaky(nn.Conv2d(4 * width, 8 * width, 4, padding=1)),
            nn.Conv2d(8 * width, 1, 4, padding=1),
        )
        initialize_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,3,H,W] in -1..1 to scores [B,1,H/8-2,W/8-2]: 1 for pictures of its domain, 0 for others."""
        scores: Tensor = self.model(image)
        return scores


def normalized(convolution: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, ...]:
    """Return a convolution with an instance norm and ReLU."""
    return convolution, InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True)


def leaky(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    """Return a convolution with an instance norm and leaky ReLU."""
    return convolution, InstanceNorm2d(convolution.out_channels), nn.LeakyReLU(0.2, inplace=True)


def _doubling(channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, out_channels, 3, stride=2, padding=1, output_padding=1)
