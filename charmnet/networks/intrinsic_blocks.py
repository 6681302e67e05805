"""Encoder and decoder of the networks that take a picture for reflectance times illumination (Guo et al.)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from charmnet.networks.reflected_blocks import ConvUnit, Norm, Stack, leaky, residual_blocks

SMALLEST_MULTIPLE = 8
"""Height and width of a picture have to be multiples of it."""


class Intrinsics(NamedTuple):
    """A harmonized picture and what it is the product of.

    Attributes:
        harmonized: [B,3,H,W] in 0..1.
        reflectance: [B,3,H,W] in 0..1.
        illumination: [B,3,H,W] in 0..1.
    """

    harmonized: Tensor
    reflectance: Tensor
    illumination: Tensor


class PictureUnit(ConvUnit):
    """Last convolution of a decoder and its hyperbolic tangent, in full precision whatever autocast says.

    It is cheap, and bfloat16 would round the picture by whole grey levels.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, 3, 7, padding=3, activation=nn.Tanh())

    def forward(self, features: Tensor) -> Tensor:
        """Map [B,width,H,W] to [B,3,H,W] in -1..1."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.to(self.conv.weight.dtype))


def downsampling(width: int, norm: Norm) -> list[nn.Module]:
    """Return the layers that map [B,4,H,W] to [B,4*width,H/4,W/4]."""
    return [
        ConvUnit(4, width, 7, padding=3, norm=norm, activation=leaky()),
        ConvUnit(width, 2 * width, 4, stride=2, padding=1, norm=norm, activation=leaky()),
        ConvUnit(2 * width, 4 * width, 4, stride=2, padding=1, norm=norm, activation=leaky()),
    ]


def content_encoder(width: int, blocks: int = 0) -> nn.Module:
    """Return the encoder of [B,4,H,W], composite and mask, to [B,4*width,H/4,W/4]."""
    return Stack([*downsampling(width, "instance"), residual_blocks(4 * width, blocks)])


def picture_decoder(width: int, *, after_empty_stage: bool = False) -> nn.Module:
    """Return the decoder of [B,4*width,H/4,W/4] to [B,3,H,W] in -1..1.

    Args:
        width: channels before the last convolution.
        after_empty_stage: let its modules' numbers begin at 1, as in the released Harmony Transformer.
    """
    layers: list[nn.Module] = [nn.Identity()] if after_empty_stage else []
    for channels in (4 * width, 2 * width):
        layers += [
            nn.Upsample(scale_factor=2),
            ConvUnit(channels, channels // 2, 5, padding=2, norm="layer", activation=leaky()),
        ]
    return Stack([*layers, PictureUnit(width)])


def recomposed(reflectance: Tensor, illumination: Tensor) -> Intrinsics:
    """Return the picture of both decoders' outputs, [B,3,H,W] in -1..1."""
    reflectance, illumination = reflectance / 2 + 0.5, illumination / 2 + 0.5
    return Intrinsics(reflectance * illumination, reflectance, illumination)


def check_pictures(composite: Tensor, foreground_mask: Tensor, multiple: int = SMALLEST_MULTIPLE) -> None:
    """Check that a network can take these.

    Raises:
        ValueError: a tensor has another shape than the other one's, or sides that are no multiples.
    """
    height, width = composite.shape[-2:]
    expected = (len(composite), 1, height, width)
    if foreground_mask.shape != expected:
        raise ValueError(f"foreground_mask has shape {tuple(foreground_mask.shape)}, expected {expected}")
    if height % multiple or width % multiple:
        raise ValueError(f"composite has (height, width) {(height, width)}, expected multiples of {multiple}")


def network_input(composite: Tensor, foreground_mask: Tensor) -> Tensor:
    """Join [B,3,H,W] and [B,1,H,W] to [B,4,H,W] in the memory format that convolutions are fastest in."""
    return torch.cat([composite, foreground_mask], dim=1).contiguous(memory_format=torch.channels_last)


def initialize_normal(network: nn.Module) -> None:
    """Draw weights of convolutions and linear layers from N(0, 0.02²), and set their biases to 0.

    Norms, embeddings and the joint projections of attention keep what they were drawn with.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
