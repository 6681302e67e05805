"""Methods with each of their heads, for tests that hold for all of them."""

from __future__ import annotations

from typing import Any

import torch

from charmnet.methods import METHODS, Method, build_method
from charmnet.networks.color_maps import ColorMapDecoder

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in METHODS} | {
    "color_maps": ("charmnet", {"head": "affine"})
}
"""Methods and the options that make a variant, by its name."""


def build_variant(name: str, **options: Any) -> Method:
    """Return a method whose features have gradients from the first update on."""
    method_name, own_options = VARIANTS[name]
    method = build_method(method_name, **own_options, **options)
    for decoder in method.modules["generator"].modules():
        if isinstance(decoder, ColorMapDecoder):
            torch.nn.init.constant_(decoder.cell_maps.weight, 0.01)  # the identity passes none on
    return method
