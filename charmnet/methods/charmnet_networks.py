"""CharmNet's four networks, their released names, and the parts of them that are wrapped together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from charmnet.errors import WeightsError
from charmnet.networks.blocks import initialize_normal, split_channels
from charmnet.networks.charmnet import BOTH_DOMAINS, CharmNet, released_shape
from charmnet.networks.discriminator import FeatureDiscriminator
from charmnet.networks.state import check_state
from charmnet.networks.style_classifier import StyleClassifier
from charmnet.vocabulary import Domain

RELEASED_NAMES = {
    "G": "generator",
    "D": "discriminator",
    "SC1": "style_classifier_before",
    "SC2": "style_classifier_after",
}
"""The released code's names of the networks, and this project's."""


def build_networks(
    width: int, unshared_layers: int, domain_statistics: bool = False, **options: Any
) -> dict[str, nn.Module]:
    """Return freshly initialised networks by name.

    Args:
        width: see `CharmNet`, as for all others.
        unshared_layers: layers of a domain's own.
        domain_statistics: whether batch norms keep statistics per domain.
        options: further arguments of `CharmNet`.
    """
    generator = CharmNet(width, unshared_layers, domain_statistics, **options)
    channels = split_channels(width, unshared_layers)
    others: dict[str, nn.Module] = {
        "discriminator": FeatureDiscriminator(channels, width),
        "style_classifier_before": StyleClassifier(channels, width),
        "style_classifier_after": StyleClassifier(channels, width),
    }
    initialize = options.get("initialize", initialize_normal)
    if initialize is not initialize_normal:  # which they have drawn from already
        for network in others.values():
            initialize(network)
    return {"generator": generator, **others}


def check_released(
    states: Mapping[str, Mapping[str, Tensor]], sources: Mapping[str, str] | None = None
) -> None:
    """Check that there are exactly G, D, SC1 and SC2 in the released layout and of one shape.

    Args:
        states: state dicts by released name.
        sources: file that each was read from, for messages.

    Raises:
        WeightsError: they are not; names what is missing, unexpected or of another shape.
    """
    if set(states) != set(RELEASED_NAMES):
        raise WeightsError(f"got weights of {sorted(states)}, expected those of {sorted(RELEASED_NAMES)}")
    sources = {released: f"released {released}" for released in RELEASED_NAMES} | dict(sources or {})
    with torch.device("meta"):
        expected = build_networks(*released_shape(states["G"], sources["G"]))
    for released, name in RELEASED_NAMES.items():
        check_state(states[released], expected[name], sources[released])


def wrapped_by_domain(
    wrap: Callable[[nn.Module], nn.Module], part_of: Callable[[Domain], nn.Module], *, shared: bool
) -> dict[Domain, nn.Module]:
    """Return each domain's wrapped part; where both have the same one it is wrapped once."""
    if shared:
        return dict.fromkeys(BOTH_DOMAINS, wrap(part_of(Domain.REAL)))
    return {domain: wrap(part_of(domain)) for domain in BOTH_DOMAINS}


class Discriminate(nn.Module):
    """The discriminator on the features of both domains in one call."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, rendered: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits [B,1,h,w] of rendered and of real features [B,C,H,W]."""
        return self.discriminator(rendered), self.discriminator(real)


class Classify(nn.Module):
    """Both style classifiers in one call, each on its features."""

    def __init__(self, before: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before = before
        self.after = after

    def forward(self, features_before: Tensor, features_after: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits [B,10] of features [B,C,H,W] before and after the shared blocks."""
        return self.before(features_before), self.after(features_after)
