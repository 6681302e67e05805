"""The pieces that the harmonization networks are made of, and how they are initialised."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.networks.batch_norm import BatchNorm2d, DomainBatchNorm2d
from charmnet.vocabulary import Domain

DEPTH = 7
"""Layers of the encoder, and of the decoder: 256 pixels come down to a 1x1 bottleneck."""
MAX_WIDTH = 512
FIRST_NORMED_LAYER = 2
INPUT_SIZE = 256


def encoder_widths(width: int) -> list[int]:
    """Output channels of the seven encoder layers: doubled at layers 2, 4 and 6, 512 at most."""
    return [min(width * 2 ** (layer // 2), MAX_WIDTH) for layer in range(DEPTH)]


def split_channels(width: int, unshared_layers: int) -> int:
    """Channels of the features where a domain's own layers meet the shared ones (128 as released)."""
    return encoder_widths(width)[unshared_layers - 1]


def split_size(unshared_layers: int) -> int:
    """Height and width of the features there (16 for 4 layers)."""
    return INPUT_SIZE >> unshared_layers


class Block(nn.Module):
    """Convolution, norm, ELU; named as in the released layout (`block.0`, `block.1`)."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(convolution, norm, nn.ELU(inplace=True))

    def forward(self, features: Tensor, domain: Domain) -> Tensor:
        convolution, norm, activation = self.block
        if isinstance(norm, BatchNorm2d) and norm.training:
            features = _without_bias(features, convolution, norm.statistics(domain))
        else:
            features = convolution(features)
        if isinstance(norm, DomainBatchNorm2d):
            return activation(norm(features, domain))
        return activation(norm(features))


def _without_bias(features: Tensor, convolution: nn.Module, statistics: nn.BatchNorm2d) -> Tensor:
    """The convolution without its bias, for a norm by the batch, whose mean takes a bias away again.

    Only the running mean hears of it. Its gradient is zero; to find that out costs as much as the weights'.
    """
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
    weight, bias, padding = convolution.weight, convolution.bias, convolution.padding
    assert bias is not None
    assert not isinstance(padding, str)
    convolve = F.conv2d if isinstance(convolution, nn.Conv2d) else F.conv_transpose2d
    convolved = convolve(features, weight, stride=convolution.stride, padding=padding)
    momentum = statistics.momentum or 0.0
    assert statistics.running_mean is not None
    # Before the norm adds the batch's mean, which shrinks what is there. Unseen by autograd, which keeps the
    # running mean, though a backward pass in training has no use for it.
    statistics.running_mean.data.add_(bias.data, alpha=momentum / (1.0 - momentum))
    return _VanishingBias.apply(convolved, bias)  # type: ignore[no-untyped-call]


class _VanishingBias(torch.autograd.Function):
    """The features as they are; to the bias goes the gradient that it would have, had it been added."""

    @staticmethod
    def forward(context: Any, features: Tensor, bias: Tensor) -> Tensor:
        context.save_for_backward(bias)
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (bias,) = context.saved_tensors
        return gradients[0], torch.zeros_like(bias)


def down_block(layer: int, in_channels: int, out_channels: int, domain_statistics: bool = False) -> Block:
    """Encoder layer `layer` (0-6): halves height and width; the last takes 4x4 to 1x1."""
    padding = 0 if layer == DEPTH - 1 else 1
    norm = _norm(out_channels, domain_statistics) if layer >= FIRST_NORMED_LAYER else nn.Identity()
    return Block(nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=padding), norm)


def up_block(layer: int, in_channels: int, out_channels: int, domain_statistics: bool = False) -> Block:
    """Decoder layer `layer` (0-6): doubles height and width; the first takes 1x1 to 4x4."""
    padding = 0 if layer == 0 else 1
    convolution = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=padding)
    return Block(convolution, _norm(out_channels, domain_statistics))


def _norm(channels: int, domain_statistics: bool) -> BatchNorm2d:
    return DomainBatchNorm2d(channels) if domain_statistics else BatchNorm2d(channels)


def initialize_normal(network: nn.Module) -> None:
    """CharmNet's start: convolutions N(0, 0.02²), batch norm scales N(1, 0.02²), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            _zero_bias(module)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def initialize_xavier(network: nn.Module) -> None:
    """iDIH's start: convolutions N(0, 2 / mean of fan-in and fan-out), biases 0, batch norms the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            first, second, height, width = module.weight.shape
            mean_fan = (first + second) / 2 * height * width
            nn.init.normal_(module.weight, 0.0, (2.0 / mean_fan) ** 0.5)
            _zero_bias(module)


def _zero_bias(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
