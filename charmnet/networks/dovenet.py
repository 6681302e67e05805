"""Networks of DoveNet (CVPR 2020): a gated U-Net, and a discriminator of pictures and of their regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from charmnet.networks.batch_norm import BatchNorm2d
from charmnet.networks.blocks import initialize_normal, without_bias
from charmnet.networks.instance_norm import InstanceNorm2d
from charmnet.networks.unet import LEAKY_SLOPE, LEVELS, UNet

NormKind = Literal["batch", "instance"]
"""Norm of a network's layers: batch norms with scale and shift, or instance norms without."""

_KERNEL = 3
_STRIDES = (2, 2, 2, 2, 2, 2, 1)  # 256 pixels come down to 1
_NORMED = range(1, 6)  # convolutions that a norm follows
_LEAST_AREA = 1e-8  # of the part of a window that is seen
_SEEN_WHOLE = _KERNEL**2 / (_KERNEL**2 + _LEAST_AREA)


def norm_maker(kind: NormKind) -> Callable[[int], nn.Module]:
    """Return what makes norms of a kind, given channels."""
    return BatchNorm2d if kind == "batch" else InstanceNorm2d


class DoveNet(UNet):
    """Generator that takes the mask as a fourth channel.

    Args:
        width: channels of the first level (64 as published).
        norm: kind of its norms; with instance norms convolutions have biases.
        dropout: see `UNet`.
    """

    def __init__(self, width: int = 64, norm: NormKind = "batch", dropout: float = 0.5) -> None:
        super().__init__(
            width, (norm_maker(norm),) * 2, sees_mask=True, bias=norm == "instance", dropout=dropout
        )
        initialize_normal(self)


class PartialConv2d(nn.Conv2d):
    """Convolution of 3x3 pixels without padding that sees only part of its input (Liu et al., ECCV 2018).

    Args:
        channels: of the input. out_channels: of the output.
        stride: pixels between windows.
        bias: whether it has a bias.
        normed: whether an instance norm follows, which takes away a bias that is the same everywhere.
    """

    def __init__(self, channels: int, out_channels: int, stride: int, *, bias: bool, normed: bool) -> None:
        super().__init__(channels, out_channels, _KERNEL, stride=stride, bias=bias)
        self.normed = normed

    def forward(self, features: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]
        """Return the convolved features, and which pixels of them have seen something.

        Args:
            features: [B,C,H,W].
            seen: [B,1,H,W] in 0..1; None sees everything.
        """
        stride = self.stride[0]
        if seen is None:
            convolved = F.conv2d(features, self.weight * _SEEN_WHOLE, stride=stride)
            if self.bias is not None and self.normed:
                convolved = without_bias(convolved, self.bias)
            elif self.bias is not None:
                convolved = convolved + self.bias[:, None, None]
            return convolved, None
        area = F.avg_pool2d(seen, _KERNEL, stride, divisor_override=1)
        now_seen = area.clamp(0, 1)
        scale = _KERNEL**2 / (area + _LEAST_AREA) * now_seen
        convolved = F.conv2d(features * seen, self.weight, stride=stride) * scale
        if self.bias is not None:
            convolved = (convolved + self.bias[:, None, None]) * now_seen
        return convolved, now_seen


class RegionEncoder(nn.Module):
    """Encoder of a region of pictures into one vector, with spectral norms of its partial convolutions.

    Args:
        width: channels of the first layer (64 as published).
        norm: kind of its norms.
    """

    def __init__(self, width: int, norm: NormKind) -> None:
        super().__init__()
        widths = [3, *(width * min(2**layer, 8) for layer in range(len(_STRIDES)))]
        self.convolutions = nn.ModuleList()
        for layer, stride in enumerate(_STRIDES):
            channels, out = widths[layer : layer + 2]
            bias = layer == 0 or norm == "instance"
            convolution = PartialConv2d(channels, out, stride, bias=bias, normed=layer in _NORMED)
            initialize_normal(convolution)
            self.convolutions.append(spectral_norm(convolution))
        self.norms = nn.ModuleList(norm_maker(norm)(widths[layer + 1]) for layer in _NORMED)
        initialize_normal(self.norms)

    def forward(self, image: Tensor, region: Tensor | None = None) -> Tensor:
        """Return features [B,C,1,1] of pictures [B,3,256,256], or of a region [B,1,256,256] in them."""
        features = image
        for layer, convolution in enumerate(self.convolutions):
            features, region = convolution(features, region)
            if layer in _NORMED:
                features = self.norms[layer - _NORMED[0]](features)
            if layer < len(_STRIDES) - 1:
                features = F.leaky_relu(features, LEAKY_SLOPE)
        return features


class RegionDiscriminator(nn.Module):
    """Discriminator of whole pictures, and of whether foreground and background are of one domain.

    In training each call advances the vectors of the spectral norms: once for the whole picture, twice for
    its regions.

    Args:
        width: channels of the first layers (64 as published).
        norm: kind of its norms.
    """

    def __init__(self, width: int = 64, norm: NormKind = "batch") -> None:
        super().__init__()
        channels = 8 * width
        self.whole = RegionEncoder(width, norm)
        self.region = RegionEncoder(width, norm)
        layers = [
            nn.Conv2d(channels, channels, 1),
            nn.Conv2d(channels, channels, 1),
            nn.Conv2d(channels, 1, 1),
        ]
        self.score = nn.Conv2d(channels, 1, 1)
        for layer in (*layers, self.score):
            initialize_normal(layer)
        first, second, last = layers
        self.verification = nn.Sequential(
            spectral_norm(first),
            nn.LeakyReLU(LEAKY_SLOPE),
            spectral_norm(second),
            nn.LeakyReLU(LEAKY_SLOPE),
            last,
        )

    def forward(self, image: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores [B,1,1,1] of whole pictures and of their regions' agreement.

        Args:
            image: [B,3,256,256] in -1..1.
            foreground_mask: [B,1,256,256], 1 = foreground.
        """
        score: Tensor = self.score(self.whole(image))
        foreground = self.region(image, foreground_mask)
        background = self.region(image, 1 - foreground_mask)
        agreement: Tensor = self.verification(foreground * background)
        return score, agreement


def generator_names() -> dict[str, str]:
    """Return the released generator's module names, each with this module's."""
    names = {"model.model.0": "down.0", "model.model.3": "to_image"}
    block = "model.model.1"
    for level in range(2, LEVELS + 1):
        last, up = level == LEVELS, LEVELS - level
        names[f"{block}.model.1"] = f"down.{level - 1}"
        names[f"{block}.model.{3 if last else 5}"] = f"up.{up}"
        names[f"{block}.model.{4 if last else 6}"] = f"up_norms.{up}"
        if not last:
            names[f"{block}.model.2"] = f"down_norms.{level - 2}"
        if level <= 4:
            names[f"{block}.attention.0"] = f"gates.{4 - level}"
        block = f"{block}.model.3"
    return names


def discriminator_names() -> dict[str, str]:
    """Return the released discriminator's module names, each with `RegionDiscriminator`'s."""
    names = {
        "convg3": "score",
        "convl1": "verification.0",
        "convl2": "verification.2",
        "convl3": "verification.4",
    }
    for encoder, suffix in (("whole", ""), ("region", "f")):
        for layer in range(len(_STRIDES)):
            names[f"D.conv{layer + 1}{suffix}"] = f"{encoder}.convolutions.{layer}"
        for index, layer in enumerate(_NORMED):
            names[f"D.norm{layer + 1}{suffix}"] = f"{encoder}.norms.{index}"
    return names
