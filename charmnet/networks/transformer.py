"""Transformer layers whose positions are added to queries and keys, after DETR (ECCV 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TEMPERATURE = 10_000.0
_FORWARD_FACTOR = 2  # channels of a feed-forward network's inner layer over a token's


class Attention(nn.MultiheadAttention):
    """Multi-head attention in one fused operation; parameters are those of torch's own module."""

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, attended: Tensor | None = None
    ) -> Tensor:
        """Return what [B,Q,C] queries get of [B,K,C] values.

        Args:
            query: [B,Q,C].
            key: [B,K,C].
            value: [B,K,C].
            attended: [B,1,1,K] booleans, which keys are attended to, at least one; None is all.
        """
        queries, keys, values = (
            self._in_heads(tokens, part) for part, tokens in enumerate((query, key, value))
        )
        found = F.scaled_dot_product_attention(queries, keys, values, attended)
        output: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return output

    def _in_heads(self, tokens: Tensor, part: int) -> Tensor:
        """Return [B,N,C] tokens as queries (part 0), keys (1) or values (2), [B,heads,N,C/heads]."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        projected = F.linear(tokens, self.in_proj_weight[rows], self.in_proj_bias[rows])
        heads: Tensor = projected.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        return heads


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward network, each added to its input and normed after that.

    Args:
        channels: channels of a token.
        heads: attention heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(channels, heads, batch_first=True)
        self.linear1 = nn.Linear(channels, _FORWARD_FACTOR * channels)
        self.linear2 = nn.Linear(_FORWARD_FACTOR * channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, positions: Tensor, attended: Tensor | None) -> Tensor:
        """Map [B,N,C] to the same shape; `positions` is [N,C]."""
        placed = tokens + positions
        tokens = self.norm1(tokens + self.self_attn(placed, placed, tokens, attended))
        output: Tensor = self.norm2(tokens + self.linear2(F.gelu(self.linear1(tokens))))
        return output


class DecoderLayer(nn.Module):
    """Self-attention, attention to a memory and feed-forward network; arguments are `EncoderLayer`'s."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(channels, heads, batch_first=True)
        self.multihead_attn = Attention(channels, heads, batch_first=True)
        self.linear1 = nn.Linear(channels, _FORWARD_FACTOR * channels)
        self.linear2 = nn.Linear(_FORWARD_FACTOR * channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)

    def forward(
        self, tokens: Tensor, memory: Tensor, queries: Tensor, keys: Tensor, attended: Tensor | None
    ) -> Tensor:
        """Map [B,N,C] to the same shape; arguments are `Decoder.forward`'s."""
        placed = tokens + queries
        tokens = self.norm1(tokens + self.self_attn(placed, placed, tokens))
        found = self.multihead_attn(tokens + queries, memory + keys, memory, attended)
        tokens = self.norm2(tokens + found)
        output: Tensor = self.norm3(tokens + self.linear2(F.gelu(self.linear1(tokens))))
        return output


class EncoderLayers(nn.Module):
    """Encoder layers, one after the other; named as in the released layout."""

    def __init__(self, channels: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(channels, heads) for _ in range(layers))


class DecoderLayers(nn.Module):
    """Decoder layers, one after the other, and a norm; named as in the released layout."""

    def __init__(self, channels: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(channels, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)


class Encoder(nn.Module):
    """Transformer encoder without a last norm.

    Args:
        channels: channels of a token.
        layers: number of layers.
        heads: attention heads of a layer.
    """

    def __init__(self, channels: int, layers: int, heads: int) -> None:
        super().__init__()
        self.encoder = EncoderLayers(channels, layers, heads)

    def forward(self, tokens: Tensor, positions: Tensor, attended: Tensor | None = None) -> Tensor:
        """Map tokens [B,N,C] to the same shape.

        Args:
            tokens: [B,N,C].
            positions: [N,C], added to queries and keys of every layer.
            attended: [B,1,1,N] booleans, which tokens are attended to; None is all.
        """
        for layer in self.encoder.layers:
            tokens = layer(tokens, positions, attended)
        return tokens


class Decoder(nn.Module):
    """Transformer decoder with a last norm; arguments are `Encoder`'s."""

    def __init__(self, channels: int, layers: int, heads: int) -> None:
        super().__init__()
        self.decoder = DecoderLayers(channels, layers, heads)

    def forward(
        self, tokens: Tensor, memory: Tensor, *, queries: Tensor, keys: Tensor, attended: Tensor | None = None
    ) -> Tensor:
        """Map tokens [B,N,C], which attend to each other and to a memory [B,M,C], to the same shape.

        Args:
            tokens: [B,N,C].
            memory: [B,M,C].
            queries: [N,C], added to the tokens where they are queries or keys.
            keys: [M,C], added to the memory where it is a key.
            attended: [B,1,1,M] booleans, which of the memory is attended to; None is all.
        """
        for layer in self.decoder.layers:
            tokens = layer(tokens, memory, queries, keys, attended)
        output: Tensor = self.decoder.norm(tokens)
        return output


def position_encoding(rows: int, columns: int, like: Tensor) -> Tensor:
    """Return sines and cosines [rows*columns,C] of rows (first half) and columns (second half), from 1 on.

    Args:
        rows: number of rows.
        columns: number of columns.
        like: tensor [...,C] whose channels, device and dtype the encoding has; computed in float32.
    """
    half = like.shape[-1] // 2
    pairs = torch.arange(half, dtype=torch.float32, device=like.device).div(2, rounding_mode="floor")
    periods = _TEMPERATURE ** (2 * pairs / half)
    encoded = []
    for count in (rows, columns):
        angles = torch.arange(1, count + 1, dtype=torch.float32, device=like.device)[:, None] / periods
        encoded.append(torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1))
    by_row = encoded[0][:, None].expand(rows, columns, half)
    by_column = encoded[1][None].expand(rows, columns, half)
    return torch.cat([by_row, by_column], dim=2).flatten(0, 1).to(like.dtype)
