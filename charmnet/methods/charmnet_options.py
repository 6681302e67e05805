"""Options of CharmNet, and the weights of its losses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from charmnet.methods.harmonization import GeneratorOptions
from charmnet.options import Flag

STYLE_WEIGHTS = {
    "style_before_rendered": 1.0,
    "style_after_rendered": 1.0,
    "style_consistency_real": 0.5,
    "style_margin_real": 0.5,
}
"""Weights of the losses that make up `style`."""
RECONSTRUCTION_LOSSES = ("foreground_mse_rendered", "foreground_mse_real")
"""Losses that come with `reconstruction_weight` already."""


class CharmNetOptions(GeneratorOptions):
    """Options of CharmNet."""

    name: Literal["charmnet"] = "charmnet"
    """Name of the method."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam's learning rate of all four networks, before the schedule's factor."""
    unshared_layers: int = Field(4, ge=2, le=5)
    """Layers of each encoder and decoder that a domain has to itself (released: 4)."""
    domain_statistics: Flag = False
    """Keep the shared batch norms' running statistics per domain (not as released)."""
    shared_paths: Flag = False
    """Have both domains share the encoder and the decoder, too (not as released)."""
    reconstruction_weight: float = Field(10.0, ge=0)
    """Weight of both domains' foreground-normalised MSE (released: 10)."""
    style_weight: float = Field(1.0, ge=0)
    """Weight of the style losses' sum (released: 1); with 0 there are no style classifiers in the update."""
    adversarial_weight: float = Field(1.0, ge=0)
    """Weight of the encoders' loss under the discriminator (released: 1); with 0 that is not trained."""
