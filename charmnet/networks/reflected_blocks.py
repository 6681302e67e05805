"""Layers whose inputs are mirrored at their edges, named as MUNIT's: of UNIT and of Guo et al.'s networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn

from charmnet.networks.instance_norm import InstanceNorm2d
from charmnet.networks.layer_norm import SampleLayerNorm

SLOPE = 0.2
"""Slope of the leaky ReLUs below zero."""

Norm = Literal["instance", "layer", "group", "none"]
"""Norms: of a channel, of the sample (`SampleLayerNorm`), of each third of the channels, or none."""

_NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "instance": InstanceNorm2d,
    "layer": SampleLayerNorm,
    "group": partial(nn.GroupNorm, 3),
    "none": nn.Identity,
}


class ConvUnit(nn.Module):
    """Convolution of features padded by reflection, norm, activation; named as in the released layout.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: height and width of the kernel.
        stride: stride.
        padding: rows and columns that are reflected at each side.
        norm: see `Norm`.
        activation: module that follows; None leaves the features as they are.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int,
        norm: Norm = "none",
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm = _NORMS[norm](out_channels)
        self.activation = activation or nn.Identity()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, padding_mode="reflect")

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,C',H',W']."""
        output: Tensor = self.activation(self.norm(self.conv(features)))
        return output


class ResidualBlock(nn.Module):
    """Two convolutions with norms and an activation between them, added to their input."""

    def __init__(self, channels: int, norm: Norm, activation: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(
            ConvUnit(channels, channels, 3, padding=1, norm=norm, activation=activation),
            ConvUnit(channels, channels, 3, padding=1, norm=norm),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,C,H,W] to the same shape."""
        output: Tensor = self.model(features) + features
        return output


class Stack(nn.Module):
    """Modules one after the other, as `model` in the released layout."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(*modules)

    def forward(self, features: Tensor) -> Tensor:
        """Apply all of them."""
        output: Tensor = self.model(features)
        return output


def leaky() -> nn.Module:
    """Return the leaky ReLU."""
    return nn.LeakyReLU(SLOPE, inplace=True)


def residual_blocks(
    channels: int,
    count: int,
    norm: Norm = "layer",
    activation: Callable[[], nn.Module] = leaky,
) -> nn.Module:
    """Return a stage of `count` residual blocks; without any it is empty, and a module nevertheless."""
    return Stack([ResidualBlock(channels, norm, activation()) for _ in range(count)])
