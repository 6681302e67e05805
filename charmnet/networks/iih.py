"""Network of intrinsic image harmonization (Guo, Zheng, Jiang, Gu and Zheng, CVPR 2021), tag v1.0.

A composite is taken for reflectance times illumination. Both are encoded, the illumination's foreground is
lit as its background is, and both borrow from positions of the background that an attention finds alike.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.networks.intrinsic_blocks import (
    Intrinsics,
    check_pictures,
    content_encoder,
    downsampling,
    initialize_normal,
    network_input,
    picture_decoder,
    recomposed,
)
from charmnet.networks.layer_norm import SampleLayerNorm
from charmnet.networks.reflected_blocks import SLOPE, ConvUnit, Stack, leaky, residual_blocks

LIGHT_CHANNELS = 8
"""Length of a light code."""

_SHARPNESS = 10.0  # what covariances are multiplied with before the softmax over the background
_PATCH = 4  # rows and columns of a patch that is borrowed; patches lie 2 apart
_TINY = 1e-8


class IntrinsicHarmonization(NamedTuple):
    """Output of the network for a batch.

    Attributes:
        pictures: harmonized picture, reflectance and illumination, not pasted.
        free_features: [B,1,H/8,W/8], the mean of the features that are to show no disharmony.
        match_scores: [B,J,H/8,W/8], how much each position takes of each background position j.
        light_foreground: [B,8] light code of the foreground.
        light_background: [B,8] light code of the background.
        reflectance_features: [B,C,H/4,W/4] encoded reflectance.
        reflectance_guided: [B,C,H/4,W/4], the same after it has borrowed.
        illumination_lit: [B,C,H/4,W/4] illumination before it borrows.
    """

    pictures: Intrinsics
    free_features: Tensor
    match_scores: Tensor
    light_foreground: Tensor
    light_background: Tensor
    reflectance_features: Tensor
    reflectance_guided: Tensor
    illumination_lit: Tensor


class IntrinsicHarmonizer(nn.Module):
    """Network of intrinsic image harmonization; state-dict names are the released ones.

    Args:
        width: channels of the first layers (64 as released), even.
        blocks: residual blocks of the reflectance's encoder (4).
        attention_blocks: residual blocks of the attention's encoder (6; 0 in the later released version).
        lighting_blocks: residual blocks that exchange the light (4).
    """

    def __init__(
        self, width: int = 64, blocks: int = 4, attention_blocks: int = 6, lighting_blocks: int = 4
    ) -> None:
        super().__init__()
        channels = 4 * width
        self.reflectance_enc = content_encoder(width, blocks)
        self.reflectance_dec = picture_decoder(width)
        self.illumination_enc = content_encoder(width)
        self.illumination_dec = picture_decoder(width)
        self.lighting = GlobalLighting(width)
        self.lightingRes = LightingBlocks(channels, lighting_blocks)
        self.ifm = FreeAttention(width, attention_blocks)
        self.reflectanceRec = GuidedBlocks(channels)
        self.illuminationRec = GuidedBlocks(channels)
        initialize_normal(self)

    def forward(self, composite: Tensor, foreground_mask: Tensor) -> IntrinsicHarmonization:
        """Harmonize a batch.

        Args:
            composite: [B,3,H,W] in 0..1; sides are multiples of 8.
            foreground_mask: [B,1,H,W], 1 = foreground.

        Raises:
            ValueError: the inputs have other shapes.
        """
        check_pictures(composite, foreground_mask)
        inputs = network_input(composite, foreground_mask)
        mask = foreground_mask[..., ::4, ::4]  # the nearest pixels, as of other scales
        scores, free = self.ifm(inputs, foreground_mask[..., ::8, ::8])
        reflectance = self.reflectance_enc(inputs)
        reflectance_guided = self.reflectanceRec(reflectance, scores)
        foreground, background = self.lighting(inputs, mask)
        lit = self.lightingRes(self.illumination_enc(inputs), foreground, background, mask)
        illumination_guided = self.illuminationRec(lit, scores.detach())
        pictures = recomposed(
            self.reflectance_dec(reflectance_guided), self.illumination_dec(illumination_guided)
        )
        return IntrinsicHarmonization(
            pictures, free, scores, foreground, background, reflectance, reflectance_guided, lit
        )


class LightLayer(nn.Module):
    """Linear layer, named as in the released layout.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        activation: module that follows.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, out_channels)
        self.activation = activation

    def forward(self, values: Tensor) -> Tensor:
        """Map [B,C] to [B,C']."""
        output: Tensor = self.activation(self.fc(values))
        return output


class GlobalLighting(Stack):
    """Encoder of foreground and background to a light code each."""

    def __init__(self, width: int) -> None:
        super().__init__(downsampling(width, "none"))
        self.light_mlp = LightLayer(4 * width, LIGHT_CHANNELS, nn.Identity())

    def forward(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return the codes [B,8] of foreground and background of [B,4,H,W]; the mask is [B,1,H/4,W/4]."""
        features = self.model(inputs)
        foreground, background = (self.light_mlp(_mean(features, m)) for m in (mask, 1 - mask))
        return foreground, background


def _mean(features: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [B,C] of features over a mask; 0 where it is empty."""
    return (features * mask).sum(dim=(2, 3)) / (mask.sum(dim=(2, 3)) + _TINY)


class LightTransfer(nn.Module):
    """Change of the foreground's features from its own light to the background's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.light_mlp = LightLayer(LIGHT_CHANNELS, 4 * channels, leaky())
        self.rgb_model = ConvUnit(channels, 3 * channels, 3, padding=1, norm="group", activation=leaky())

    def forward(self, features: Tensor, foreground: Tensor, background: Tensor, mask: Tensor) -> Tensor:
        """Map [B,C,h,w], with the light codes [B,8] and the mask [B,1,h,w], to the same shape."""
        intensity, ratio = self._light(foreground)
        intensity_background, ratio_background = self._light(background)
        ratio = ratio_background / (ratio + _TINY)
        colors = self.rgb_model(features).unflatten(1, ratio.shape[1:])
        moved: Tensor = (colors * ratio[..., None, None]).sum(dim=1)
        moved = moved + (intensity_background - intensity)[..., None, None]
        return features * (1 - mask) + moved * mask

    def _light(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Return the intensity [B,C] and the shares [B,3,C] of the three colours in a light."""
        values = self.light_mlp(code)
        channels = values.shape[1] // 4
        intensity, ratio = values.split((channels, 3 * channels), dim=1)
        return intensity, ratio.unflatten(1, (3, channels)).softmax(dim=1)


class LightingBlock(nn.Module):
    """Residual block in which either convolution is followed by a change of light; both share one norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lt_1 = LightTransfer(channels)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.lt_2 = LightTransfer(channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.norm = SampleLayerNorm(channels)

    def forward(self, features: Tensor, foreground: Tensor, background: Tensor, mask: Tensor) -> Tensor:
        """Map [B,C,h,w] to the same shape; arguments are `LightTransfer`'s."""
        light = foreground, background, mask
        inner = self.norm(self.lt_1(self.conv_1(features), *light))
        inner = F.leaky_relu(inner, SLOPE, inplace=True)
        outer: Tensor = self.norm(self.lt_2(self.conv_2(inner), *light))
        return outer + features


class LightingBlocks(nn.Module):
    """Lighting blocks, one after the other."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(LightingBlock(channels) for _ in range(count))

    def forward(self, features: Tensor, foreground: Tensor, background: Tensor, mask: Tensor) -> Tensor:
        """Map [B,C,h,w] to the same shape; arguments are `LightTransfer`'s."""
        for block in self.resblocks:
            features = block(features, foreground, background, mask)
        return features


class FreeAttention(Stack):
    """Encoder of features that are to be free of disharmony, and which background is like each position."""

    def __init__(self, width: int, blocks: int) -> None:
        widths = [width // 2, width, 2 * width, 4 * width]
        layers = [ConvUnit(4, widths[0], 7, padding=3, norm="layer", activation=leaky())]
        layers += [
            ConvUnit(narrow, wide, 4, stride=2, padding=1, norm="layer", activation=leaky())
            for narrow, wide in pairwise(widths)
        ]
        last = ConvUnit(widths[-1], widths[-1], 3, padding=1, activation=nn.Tanh())
        super().__init__([*layers, residual_blocks(widths[-1], blocks), last])

    def forward(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return the scores [B,J,h,w] of all background positions, and the features' mean [B,1,h,w].

        Args:
            inputs: [B,4,H,W].
            mask: [B,1,h,w], an eighth of the picture; what is masked away counts as zeros in the softmax.
        """
        features = self.model(inputs)
        features = features.float() if features.dtype is torch.bfloat16 else features
        foreground, background = ((features * m).flatten(2) for m in (mask, 1 - mask))
        foreground, background = (f - f.mean(dim=1, keepdim=True) for f in (foreground, background))
        covariance = background.transpose(1, 2) @ foreground / (features.shape[1] - 1)  # [B,J,I]
        scores = torch.softmax(_SHARPNESS * covariance, dim=1)
        return scores.unflatten(2, features.shape[2:]), features.mean(dim=1, keepdim=True)


class GuidedBlock(nn.Module):
    """Block that adds to each position what it makes of the patches that the scores name."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.harmonyRecConv = ConvUnit(2 * channels, channels, 3, padding=1, activation=nn.ReLU(inplace=True))

    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        """Map [B,C,h,w], with scores [B,J,h/2,w/2], to the same shape."""
        borrowed = self._borrowed(features, scores)
        output: Tensor = self.harmonyRecConv(torch.cat([features, borrowed], dim=1)) + features
        return output

    @staticmethod
    def _borrowed(features: Tensor, scores: Tensor) -> Tensor:
        """Return at each position the sum of all patches, weighted by its scores; overlaps are averaged."""
        layout = {"kernel_size": _PATCH, "stride": 2, "padding": 1}
        patches = F.unfold(features, **layout)  # [B,16C,J]
        sums = patches @ scores.flatten(2).to(patches.dtype)
        return F.fold(sums, features.shape[2:], **layout) / _PATCH


class GuidedBlocks(nn.Module):
    """Two guided blocks, one after the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(GuidedBlock(channels) for _ in range(2))

    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        """Map [B,C,h,w] to the same shape; arguments are `GuidedBlock`'s."""
        for block in self.resblocks:
            features = block(features, scores)
        return features
