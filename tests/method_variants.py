"""Methods with each of their heads, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods import METHODS, HarmonizationMethod, Method, TranslationMethod, build_method
from charmnet.methods.dovenet import RegionAdversarialMethod
from charmnet.networks.batch_norm import frozen_statistics
from charmnet.networks.color_maps import ColorMapDecoder
from charmnet.vocabulary import Domain

HARMONIZERS = [name for name, method in METHODS.items() if issubclass(method, HarmonizationMethod)]
"""Names of the methods that harmonize."""

TRANSLATORS = [name for name, method in METHODS.items() if issubclass(method, TranslationMethod)]
"""Names of the methods that translate."""

SMALL: dict[str, dict[str, Any]] = {
    "dovenet": {"width": 4, "dropout": 0.0},
    "rainnet": {"width": 4, "dropout": 0.0},
    "iih": {"blocks": 1, "attention_blocks": 1, "lighting_blocks": 1},
    "dht": {"layers": 1},
}
"""Options that make a method small, and draw nothing."""

SIDES = {"iih": 32, "dht": 32}
"""Height and width of pictures that suffice for a test, where a method takes others than 256x256."""

_CORNER = 72  # row and column of the figures' masks from which on either sample has both regions

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, SMALL.get(name, {})) for name in HARMONIZERS
} | {
    "color_maps": ("charmnet", {"head": "affine"}),
    "shared_paths": ("charmnet", {"shared_paths": True, "style_weight": 0.0}),
    "dovenet_instance": ("dovenet", {**SMALL["dovenet"], "norm": "instance"}),
}
"""Methods that harmonize and the options that make a variant, by its name."""


def cut(
    batches: Mapping[Domain, HarmonizationBatch], name: str, domains: Iterable[Domain]
) -> dict[Domain, HarmonizationBatch]:
    """Return the domains' batches, their pictures cut to as few pixels as the variant takes."""
    part = slice(_CORNER, _CORNER + SIDES[name]) if name in SIDES else slice(None)
    return {
        domain: batches[domain].map(lambda tensor: tensor[..., part, part] if tensor.ndim == 4 else tensor)
        for domain in domains
    }


def build_variant(name: str, **options: Any) -> Method:
    """Return a method whose features have gradients from the first update on, and that draws nothing."""
    method_name, own_options = VARIANTS[name]
    method = build_method(method_name, **{**options, **own_options})
    for decoder in method.modules["generator"].modules():
        if isinstance(decoder, ColorMapDecoder):
            torch.nn.init.constant_(decoder.cell_maps.weight, 0.01)  # the identity passes none on
    if isinstance(method, RegionAdversarialMethod):
        method.draw_shares = shares_by_content  # type: ignore[method-assign]
        _advance_spectral_norms(method.modules["discriminator"])
    return method


@torch.no_grad()
def _advance_spectral_norms(discriminator: nn.Module) -> None:
    """Bring spectral norms' vectors near the weights' own: as drawn they give weights of any size."""
    weight = next(discriminator.parameters())
    with frozen_statistics(discriminator):
        for _ in range(5):
            discriminator(weight.new_zeros(1, 3, 256, 256), weight.new_ones(1, 1, 256, 256))


def shares_by_content(ground_truth: Tensor) -> Tensor:
    """Return a share in 0..1 for each picture, the same on whichever worker and device it is."""
    return (10 * ground_truth.mean((1, 2, 3), keepdim=True)).sigmoid()
