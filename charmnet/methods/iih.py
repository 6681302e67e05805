"""Intrinsic image harmonization (Guo, Zheng, Jiang, Gu and Zheng, CVPR 2021), tag v1.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.intrinsic_losses import (
    contrast_structure_dissimilarity,
    gradient_distance,
    second_order_smoothness,
)
from charmnet.methods.base import Requirements
from charmnet.methods.one_domain import OneDomainOptions
from charmnet.methods.released import NamedAsReleased, count_of, size_of
from charmnet.networks.iih import IntrinsicHarmonization, IntrinsicHarmonizer


class IntrinsicOptions(OneDomainOptions):
    """Options of intrinsic image harmonization."""

    name: Literal["iih"] = "iih"
    """Name of the method."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam's learning rate, before the schedule's factor."""
    width: int = Field(64, ge=2, multiple_of=2)
    """Channels of the first layers, an even number (released: 64)."""
    blocks: int = Field(4, ge=0)
    """Residual blocks of the reflectance's encoder (released: 4)."""
    attention_blocks: int = Field(6, ge=0)
    """Residual blocks of the attention's encoder (released: 6; 0 in the code of later)."""
    lighting_blocks: int = Field(4, ge=1)
    """Residual blocks that change the light (released: 4)."""
    reconstruction_weight: float = Field(100.0, ge=0)
    """Weight of the mean absolute error (released: 100)."""
    reflectance_weight: float = Field(10.0, ge=0)
    """Weight of the distance of the reflectance's gradients to the ground truth's (released: 10; later
    20)."""
    illumination_weight: float = Field(1.0, ge=0)
    """Weight of the illumination's mean squared distance to the ground truth (released: 1; later 10)."""
    smoothness_weight: float = Field(10.0, ge=0)
    """Weight of the illumination's second differences (released: 10; later 1)."""
    free_features_weight: float = Field(100.0, ge=0)
    """Weight of the dissimilarity of the attention's features to the ground truth (released: 100)."""


class IntrinsicMethod(NamedAsReleased):
    """The network and its five losses; see `IntrinsicOptions`."""

    name = "iih"
    Options = IntrinsicOptions
    requirements = Requirements(value_range="unit", augmentation="flip", pastes=True)
    options: IntrinsicOptions
    betas = (0.5, 0.999)

    def build_generator(self) -> nn.Module:
        """Return the network."""
        options = self.options
        return IntrinsicHarmonizer(
            options.width, options.blocks, options.attention_blocks, options.lighting_blocks
        )

    def losses(self, output: IntrinsicHarmonization, batch: HarmonizationBatch) -> dict[str, Tensor]:
        """Return the five losses, weighted; errors of all pixels count, also of the background."""
        options, pictures, truth = self.options, output.pictures, batch.ground_truth
        unweighted = {
            "l1": (options.reconstruction_weight, F.l1_loss(pictures.harmonized, truth)),
            "reflectance_gradient": (
                options.reflectance_weight,
                gradient_distance(pictures.reflectance, truth),
            ),
            "illumination_mse": (options.illumination_weight, F.mse_loss(pictures.illumination, truth)),
            "illumination_smoothness": (
                options.smoothness_weight,
                second_order_smoothness(pictures.illumination),
            ),
            "free_features_dssim": (
                options.free_features_weight,
                contrast_structure_dissimilarity(output.free_features, truth),
            ),
        }
        return {name: weight * loss for name, (weight, loss) in unweighted.items()}

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
        """Return the product of reflectance and illumination."""
        return self.modules["generator"](composite, foreground_mask).pictures.harmonized, None

    @classmethod
    def released_options(cls, state: Mapping[str, Tensor], source: str) -> dict[str, Any]:
        """Return the sizes that a released state dict tells."""
        return {
            "width": size_of(state, "reflectance_enc.model.0.conv.bias", source),
            "blocks": count_of(state, r"reflectance_enc\.model\.3\.model\.(\d+)\."),
            "attention_blocks": count_of(state, r"ifm\.model\.4\.model\.(\d+)\."),
            "lighting_blocks": count_of(state, r"lightingRes\.resblocks\.(\d+)\."),
        }
