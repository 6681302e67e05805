"""Network of iDIH-256 (WACV 2021): the real path of CharmNet's generator with its own initialisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from charmnet.networks.blocks import DEPTH, initialize_xavier
from charmnet.networks.charmnet import CharmNet
from charmnet.vocabulary import Domain


class IDIH(CharmNet):
    """Generator that harmonizes composites; state-dict names are those of CharmNet's real path.

    Args:
        width: channels of the first layer (64 as released), a multiple of 4.
        attention_bias: initial bias of the attention head (released: 0).
        initialize: see `CharmNet`.
        options: further arguments of `CharmNet`.
    """

    def __init__(
        self,
        width: int = 64,
        attention_bias: float = 0.0,
        initialize: Callable[[nn.Module], None] = initialize_xavier,
        **options: Any,
    ) -> None:
        super().__init__(
            width,
            attention_bias=attention_bias,
            domains=(Domain.REAL,),
            initialize=initialize,
            **options,
        )


def idih_names(unshared_layers: int = 4) -> dict[str, str]:
    """Return the released iDIH's module names, each with the name of the module in CharmNet's real path."""
    names = {"decoder.conv_attention": "real_dec.conv_attention", "decoder.to_rgb": "real_dec.to_rgb"}
    shared = DEPTH - unshared_layers
    for layer in range(DEPTH):
        block = f"blocks_connected.block{layer}" if layer >= 2 else f"block{layer}"
        unshared = layer < unshared_layers
        names[f"encoder.{block}"] = f"real_enc.{block}" if unshared else f"encoder_blocks.block{layer}"
        names[f"decoder.deconv_blocks.{layer}"] = (
            f"deconv_blocks.{layer}" if layer < shared else f"real_dec.deconv_blocks.{layer - shared}"
        )
    return names
