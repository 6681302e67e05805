"""Networks of the Harmony Transformer (Guo, Guo, Zheng, Gu, Zheng and Dong, ICCV 2021), tag v1.0.

D-HT takes a composite for reflectance times illumination: transformer layers attend over the encoded
picture's positions for the reflectance, a light code is read off the background's patches, and decoder layers
light the reflectance by it. HT is the first of these alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from charmnet.networks.intrinsic_blocks import (
    Intrinsics,
    check_pictures,
    content_encoder,
    initialize_normal,
    network_input,
    picture_decoder,
    recomposed,
)
from charmnet.networks.transformer import Decoder, Encoder, position_encoding

LIGHT_CODES = 27
"""Learned queries that read the light off the background."""

PATCH = 8
"""Height and width of the background's patches in pixels."""


class DisentangledHarmonyTransformer(nn.Module):
    """D-HT; state-dict names are the released ones.

    Args:
        width: channels of the first layer (64 as released); tokens have four times as many.
        layers: layers of each of the four transformers (9).
        heads: attention heads of a layer (2).
    """

    def __init__(self, width: int = 64, layers: int = 9, heads: int = 2) -> None:
        super().__init__()
        channels = 4 * width
        self.reflectance_enc = content_encoder(width)
        self.reflectance_dec = picture_decoder(width, after_empty_stage=True)
        self.reflectance_transformer_enc = Encoder(channels, layers, heads)
        self.light_generator = LightGenerator(channels, layers, heads)
        self.illumination_render = Decoder(channels, layers, heads)
        self.illumination_dec = picture_decoder(width, after_empty_stage=True)
        initialize_normal(self)

    def forward(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Intrinsics, Tensor]:
        """Harmonize a batch.

        Args:
            composite: [B,3,H,W] in 0..1; sides are multiples of 8.
            foreground_mask: [B,1,H,W], 1 = foreground.

        Returns:
            The pictures, not pasted, and the light code [B,27,C].

        Raises:
            ValueError: the inputs have other shapes.
        """
        check_pictures(composite, foreground_mask)
        features = self.reflectance_enc(network_input(composite, foreground_mask))
        tokens, positions = to_tokens(features)
        reflectance = self.reflectance_transformer_enc(tokens, positions)
        light = self.light_generator(composite, foreground_mask)
        illumination = self.illumination_render(
            reflectance, light, queries=positions, keys=self.light_generator.light_embed.weight
        )
        size = features.shape[2:]
        pictures = recomposed(
            self.reflectance_dec(to_features(reflectance, size)),
            self.illumination_dec(to_features(illumination, size)),
        )
        return pictures, light


class HarmonyTransformer(nn.Module):
    """HT, which harmonizes without taking the picture apart; arguments are D-HT's."""

    def __init__(self, width: int = 64, layers: int = 9, heads: int = 2) -> None:
        super().__init__()
        self.enc = content_encoder(width)
        self.transformer_enc = Encoder(4 * width, layers, heads)
        self.dec = picture_decoder(width, after_empty_stage=True)
        initialize_normal(self)

    def forward(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """Return the harmonized pictures [B,3,H,W], in -1..1, not pasted; arguments are D-HT's."""
        check_pictures(composite, foreground_mask)
        features = self.enc(network_input(composite, foreground_mask))
        tokens = self.transformer_enc(*to_tokens(features))
        harmonized: Tensor = self.dec(to_features(tokens, features.shape[2:]))
        return harmonized


class LightGenerator(nn.Module):
    """Encoder of the background's patches, and decoder of the light codes."""

    def __init__(self, channels: int, layers: int, heads: int) -> None:
        super().__init__()
        self.patch_embedding = nn.Sequential(nn.Linear(3 * PATCH * PATCH, channels))
        self.transformer_enc = Encoder(channels, layers, heads)
        self.transformer_dec = Decoder(channels, layers, heads)
        self.light_embed = nn.Embedding(LIGHT_CODES, channels)

    def forward(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """Return the light code [B,27,C] of what [B,3,H,W] shows outside of the mask [B,1,H,W].

        Where the mask touches every patch, there is no background to read the light off: it is then the
        whole composite's.
        """
        untouched = untouched_patches(foreground_mask)
        lacks_background = ~untouched.any(dim=1, keepdim=True)
        hidden = foreground_mask.masked_fill(lacks_background[..., None, None], 0)
        embedded = self.patch_embedding(patches(composite * (1 - hidden)))
        rows, columns = (side // PATCH for side in composite.shape[2:])
        positions = position_encoding(rows, columns, embedded)
        attended = (untouched | lacks_background)[:, None, None, :]
        memory = self.transformer_enc(embedded, positions, attended)
        queries = self.light_embed.weight
        start = embedded.new_zeros(len(embedded), *queries.shape)
        code: Tensor = self.transformer_dec(start, memory, queries=queries, keys=positions, attended=attended)
        return code


def patches(image: Tensor) -> Tensor:
    """Return [B,3,H,W] as [B,N,192]: patches row by row, each by row, column and channel of a pixel."""
    rows = image.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))  # [B,3,h,8,w,8]
    cut: Tensor = rows.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    return cut


def untouched_patches(foreground_mask: Tensor) -> Tensor:
    """Return which patches [B,N] the mask [B,1,H,W] does not touch."""
    return nn.functional.max_pool2d(foreground_mask, PATCH).flatten(1) == 0


def to_tokens(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return [B,C,h,w] as tokens [B,h*w,C], row by row, and the encoding [h*w,C] of their positions."""
    tokens = features.flatten(2).transpose(1, 2)
    rows, columns = features.shape[2:]
    return tokens, position_encoding(rows, columns, tokens)


def to_features(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Return tokens [B,h*w,C] as features [B,C,h,w]."""
    features: Tensor = tokens.transpose(1, 2).unflatten(2, size)
    return features.contiguous(memory_format=torch.channels_last)
