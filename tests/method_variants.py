"""Methods with each of their heads, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods import METHODS, HarmonizationMethod, Method, TranslationMethod, build_method
from charmnet.networks.color_maps import ColorMapDecoder
from charmnet.vocabulary import Domain

HARMONIZERS = [name for name, method in METHODS.items() if issubclass(method, HarmonizationMethod)]
"""Names of the methods that harmonize."""

TRANSLATORS = [name for name, method in METHODS.items() if issubclass(method, TranslationMethod)]
"""Names of the methods that translate."""

SMALL: dict[str, dict[str, Any]] = {
    "iih": {"blocks": 1, "attention_blocks": 1, "lighting_blocks": 1},
    "dht": {"layers": 1},
}
"""Options beside the width that make a method small."""

SIDES = {"iih": 64, "dht": 64}
"""Height and width of pictures that suffice for a test, where a method takes others than 256x256."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, SMALL.get(name, {})) for name in HARMONIZERS
} | {
    "color_maps": ("charmnet", {"head": "affine"}),
    "shared_paths": ("charmnet", {"shared_paths": True, "style_weight": 0.0}),
}
"""Methods that harmonize and the options that make a variant, by its name."""


def cut(
    batches: Mapping[Domain, HarmonizationBatch], name: str, domains: Iterable[Domain]
) -> dict[Domain, HarmonizationBatch]:
    """Return the domains' batches, their pictures cut to as few pixels as the variant takes."""
    middle = slice(128 - SIDES.get(name, 256) // 2, 128 + SIDES.get(name, 256) // 2)
    return {
        domain: batches[domain].map(
            lambda tensor: tensor[..., middle, middle] if tensor.ndim == 4 else tensor
        )
        for domain in domains
    }


def build_variant(name: str, **options: Any) -> Method:
    """Return a method whose features have gradients from the first update on."""
    method_name, own_options = VARIANTS[name]
    method = build_method(method_name, **own_options, **options)
    for decoder in method.modules["generator"].modules():
        if isinstance(decoder, ColorMapDecoder):
            torch.nn.init.constant_(decoder.cell_maps.weight, 0.01)  # the identity passes none on
    return method
