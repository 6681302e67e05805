"""Building blocks of the harmonization networks, and their initialisation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.networks.batch_norm import BatchNorm2d, DomainBatchNorm2d
from charmnet.vocabulary import Domain

INPUT_SIZE = 256
"""Height and width of the networks' input as released, in pixels."""

INPUT_SIZES = (96, 128, 192, 256, 384, 512)
"""Heights and widths, in pixels, that the encoder brings down to a bottleneck of 1x1 or 2x2."""

MAX_WIDTH = 512
"""Most channels of a layer."""

FIRST_NORMED_LAYER = 2
"""First layer of the encoder that has a batch norm."""

_SMALLEST_INPUT = 8  # of the last layer of the encoder, 4 to 6 pixels remain


def depth_of(size: int = INPUT_SIZE) -> int:
    """Return the layers of the encoder, and of the decoder, for an input of `INPUT_SIZES` (7 as released)."""
    depth = 1
    while size >= _SMALLEST_INPUT:
        size //= 2
        depth += 1
    return depth


DEPTH = depth_of()
"""Layers of the encoder, and of the decoder, as released: 256 pixels come down to a 1x1 bottleneck."""


def encoder_widths(width: int, depth: int = DEPTH) -> list[int]:
    """Return the output channels of the encoder's layers: doubled at layers 2, 4 and 6, 512 at most."""
    return [min(width * 2 ** (layer // 2), MAX_WIDTH) for layer in range(depth)]


def split_channels(width: int, unshared_layers: int) -> int:
    """Return the channels of the features where a domain's own layers end (128 as released)."""
    return encoder_widths(width)[unshared_layers - 1]


def split_size(unshared_layers: int) -> int:
    """Return the height and width of the features where a domain's own layers end (16 for 4 layers)."""
    return INPUT_SIZE >> unshared_layers


class ConvBlock(nn.Module):
    """Convolution, norm, ELU; named as in the released layout (`block.0`, `block.1`)."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(convolution, norm, nn.ELU(inplace=True))

    def forward(self, features: Tensor, domain: Domain = Domain.REAL) -> Tensor:
        """Apply the block to [B,C,H,W] features of one domain, which only a norm per domain asks for."""
        convolution, norm, activation = self.block
        if isinstance(norm, BatchNorm2d) and norm.training:
            features = _convolve_without_bias(features, convolution, norm.statistics(domain))
        else:
            features = convolution(features)
        normed = norm(features, domain) if isinstance(norm, DomainBatchNorm2d) else norm(features)
        output: Tensor = activation(normed)
        return output


def _convolve_without_bias(features: Tensor, convolution: nn.Module, statistics: nn.BatchNorm2d) -> Tensor:
    """Convolve without the bias, which a norm by the batch's own mean takes away again.

    The bias only affects the running mean, and its gradient is zero. Computing that zero would cost as much
    time as the weights' gradient.
    """
    bias, momentum = convolution.bias, statistics.momentum or 0.0
    assert isinstance(bias, Tensor)
    assert statistics.running_mean is not None
    # Divided, since the norm's own update scales the running mean down after this. By way of `data`, since
    # autograd keeps the running mean for a backward pass that in training does not use it.
    statistics.running_mean.data.add_(bias.data, alpha=momentum / (1.0 - momentum))
    return convolve_before_norm(features, convolution)


def convolve_before_norm(features: Tensor, convolution: nn.Module) -> Tensor:
    """Convolve [B,C,H,W] features for a norm by their own mean, so without the bias (see `without_bias`)."""
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
    weight, bias, padding = convolution.weight, convolution.bias, convolution.padding
    assert not isinstance(padding, str)
    convolve = F.conv2d if isinstance(convolution, nn.Conv2d) else F.conv_transpose2d
    convolved: Tensor = convolve(features, weight, stride=convolution.stride, padding=padding)
    return convolved if bias is None else without_bias(convolved, bias)


def without_bias(features: Tensor, bias: Tensor) -> Tensor:
    """Return features before a norm by their own mean, with the bias that it would take away left out.

    The bias gets a gradient of exactly zero, of which an optimizer makes no step; adding it would leave
    rounding errors there, of which Adam makes whole steps.
    """
    output: Tensor = _VanishingBias.apply(features, bias)  # type: ignore[no-untyped-call]
    return output


class _VanishingBias(torch.autograd.Function):
    """The identity on features, with the gradient for the bias that adding it would have given: zero."""

    @staticmethod
    def forward(context: Any, features: Tensor, bias: Tensor) -> Tensor:
        context.save_for_backward(bias)
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (bias,) = context.saved_tensors
        return gradients[0], torch.zeros_like(bias)


def down_block(
    layer: int, in_channels: int, out_channels: int, *, last: bool = False, domain_statistics: bool = False
) -> ConvBlock:
    """Build encoder layer `layer`, which halves height and width; the last takes 4x4 to 1x1 (6x6 to 2x2)."""
    norm = _norm(out_channels, domain_statistics) if layer >= FIRST_NORMED_LAYER else nn.Identity()
    convolution = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=0 if last else 1)
    return ConvBlock(convolution, norm)


def up_block(
    in_channels: int, out_channels: int, *, first: bool = False, domain_statistics: bool = False
) -> ConvBlock:
    """Build a decoder layer, which doubles height and width; the first undoes the encoder's last."""
    convolution = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=0 if first else 1)
    return ConvBlock(convolution, _norm(out_channels, domain_statistics))


def same_block(channels: int) -> ConvBlock:
    """Build a layer that keeps channels, height and width."""
    return ConvBlock(nn.Conv2d(channels, channels, 3, padding=1), BatchNorm2d(channels))


def _norm(channels: int, domain_statistics: bool) -> BatchNorm2d:
    return DomainBatchNorm2d(channels) if domain_statistics else BatchNorm2d(channels)


def initialize_normal(network: nn.Module) -> None:
    """Initialise as CharmNet: convolutions N(0, 0.02²), batch norm scales N(1, 0.02²), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            _zero_bias(module)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def initialize_xavier(network: nn.Module) -> None:
    """Initialise as iDIH: convolutions N(0, 2 / mean of fan-in and fan-out), biases 0, norm scales 1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            first, second, height, width = module.weight.shape
            mean_fan = (first + second) / 2 * height * width
            nn.init.normal_(module.weight, 0.0, (2.0 / mean_fan) ** 0.5)
            _zero_bias(module)


def initialize_kaiming(network: nn.Module) -> None:
    """Initialise after He et al. (ICCV 2015): convolutions N(0, 2 / fan-in), biases 0, norm scales 1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan_in = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
            if isinstance(module, nn.ConvTranspose2d):  # a stride of 2: each output has a quarter of the taps
                fan_in //= module.stride[0] * module.stride[1]
            nn.init.normal_(module.weight, 0.0, (2.0 / fan_in) ** 0.5)
            _zero_bias(module)


INITIALIZERS = {
    "normal": initialize_normal,
    "xavier": initialize_xavier,
    "kaiming": initialize_kaiming,
}
"""Functions that draw a network's initial weights, by name: CharmNet's, iDIH's, and after He."""


def _zero_bias(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
