"""CUT's networks (ECCV 2020): CycleGAN's with blurred resampling, and the projection of its patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.networks.cyclegan import BLOCKS, WIDTH, ResidualBlock, leaky, normalized

PROJECTED = 256
"""Values of a projected patch."""

_FIRST_BLOCK = 12  # index of the generator's first residual block among its layers
_NORM_EPSILON = 1e-7


class BlurDown(nn.Module):
    """Halving of height and width after a blur by [1,2,1]; `filt` is constant."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _filter((1, 2, 1), 1.0, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,C,H/2,W/2], rounded up."""
        padded = F.pad(features, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.filt.to(padded.dtype), stride=2, groups=len(self.filt))


class BlurUp(nn.Module):
    """Doubling of height and width with a blur by [1,3,3,1]; `filt` is constant."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _filter((1, 3, 3, 1), 4.0, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,C,2H,2W]."""
        padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
        filt = self.filt.to(padded.dtype)
        return F.conv_transpose2d(padded, filt, stride=2, padding=2, groups=len(filt))[:, :, 1:-1, 1:-1]


class BlurredGenerator(nn.Module):
    """Translator of pictures, of whose layers some are tapped to compare patches; named as released.

    Args:
        width: channels of the first layer.
        blocks: residual blocks.
    """

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normalized(nn.Conv2d(3, width, 7)),
            *normalized(nn.Conv2d(width, 2 * width, 3, padding=1)),
            BlurDown(2 * width),
            *normalized(nn.Conv2d(2 * width, 4 * width, 3, padding=1)),
            BlurDown(4 * width),
            *(ResidualBlock(4 * width) for _ in range(blocks)),
            BlurUp(4 * width),
            *normalized(nn.Conv2d(4 * width, 2 * width, 3, padding=1)),
            BlurUp(2 * width),
            *normalized(nn.Conv2d(2 * width, width, 3, padding=1)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )
        # Of few blocks the last one takes the fifth's place.
        residual = sorted({_FIRST_BLOCK, _FIRST_BLOCK + min(4, blocks - 1)})
        self.taps = [0, 4, 8, *residual]
        self.tap_channels = [3, 2 * width, *(4 * width for _ in self.taps[2:])]
        initialize_small(self)

    def forward(self, image: Tensor, encode_only: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Return the translation and the features at `taps`.

        Args:
            image: [B,3,H,W] in -1..1, with sides of a multiple of 4.
            encode_only: stop after the last tap, whose features then stand in place of the translation.
        """
        features, tapped = image, []
        for index, layer in enumerate(self.model):
            features = layer(features)
            if index in self.taps:
                tapped.append(features)
            if encode_only and index == self.taps[-1]:
                break
        return features, tapped


class BlurredDiscriminator(nn.Module):
    """Classifier of overlapping patches of a picture; named as released.

    Args:
        width: channels of the first layer.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 4, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            BlurDown(width),
            *leaky(nn.Conv2d(width, 2 * width, 4, padding=1)),
            BlurDown(2 * width),
            *leaky(nn.Conv2d(2 * width, 4 * width, 4, padding=1)),
            BlurDown(4 * width),
            *leaky(nn.Conv2d(4 * width, 8 * width, 4, padding=1)),
            nn.Conv2d(8 * width, 1, 4, padding=1),
        )
        initialize_small(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,3,H,W] in -1..1 to scores [B,1,H/8-2,W/8-2]: 1 for pictures of its domain, 0 for others."""
        scores: Tensor = self.model(image)
        return scores


class PatchProjection(nn.Module):
    """Two layers for each tap that map the features of a position to a unit vector; named as released.

    Args:
        channels: channels of the features of each tap.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for index, width in enumerate(channels):
            layers = nn.Sequential(nn.Linear(width, PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED))
            self.add_module(f"mlp_{index}", layers)
        initialize_small(self)

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Return unit vectors [B,P,256] for each tap.

        Args:
            features: [B,C,H,W] of each tap.
            positions: [P] indices into H*W for each tap.
        """
        vectors = []
        for index, (maps, chosen) in enumerate(zip(features, positions, strict=True)):
            patches = maps.flatten(2).transpose(1, 2)[:, chosen]
            projected = self.get_submodule(f"mlp_{index}")(patches)
            # Narrow layers have positions of zeros alone, where a root's gradient would not be finite.
            norm = torch.linalg.vector_norm(projected, dim=2, keepdim=True)
            vectors.append(projected / (norm + _NORM_EPSILON))
        return vectors


def initialize_small(network: nn.Module) -> None:
    """Initialise as CUT: weights by Xavier's normal distribution times 0.02, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight, gain=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _filter(weights: tuple[int, ...], total: float, channels: int) -> Tensor:
    """Return a separable filter [C,1,K,K] that sums up to `total` for each channel."""
    line = torch.tensor(weights, dtype=torch.float32)
    square = torch.outer(line, line)
    return (square / square.sum() * total).expand(channels, 1, -1, -1).clone()
