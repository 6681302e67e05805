"""Harmony Transformer (Guo, Guo, Zheng, Gu, Zheng and Dong, ICCV 2021), tag v1.0: D-HT and HT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Requirements
from charmnet.methods.one_domain import OneDomainOptions
from charmnet.methods.released import NamedAsReleased, count_of, size_of
from charmnet.networks.dht import DisentangledHarmonyTransformer, HarmonyTransformer
from charmnet.networks.intrinsic_blocks import Intrinsics
from charmnet.options import Flag


class HarmonyTransformerOptions(OneDomainOptions):
    """Options of the Harmony Transformer."""

    name: Literal["dht"] = "dht"
    """Name of the method."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam's learning rate, before the schedule's factor."""
    width: int = Field(64, ge=1)
    """Channels of the first layers; tokens have four times as many (released: 64)."""
    layers: int = Field(9, ge=1)
    """Layers of each transformer (released: 9)."""
    heads: int = Field(2, ge=1)
    """Attention heads of a layer, a divisor of a token's channels (released: 2)."""
    disentangled: Flag = True
    """Take a picture for reflectance times illumination (D-HT); false is HT."""
    reconstruction_weight: float = Field(100.0, ge=0)
    """Weight of the mean absolute error (released: 100)."""

    @model_validator(mode="after")
    def _check_heads(self) -> HarmonyTransformerOptions:
        if 4 * self.width % self.heads:
            raise ValueError(
                f"heads={self.heads} with width={self.width}: expected a divisor of a token's "
                f"{4 * self.width} channels"
            )
        return self


class HarmonyTransformerMethod(NamedAsReleased):
    """D-HT, or HT, and its one loss; see `HarmonyTransformerOptions`."""

    name = "dht"
    Options = HarmonyTransformerOptions
    requirements = Requirements(value_range="unit", augmentation="flip", pastes=True)
    options: HarmonyTransformerOptions
    betas = (0.5, 0.999)

    def build_generator(self) -> nn.Module:
        """Return D-HT or HT."""
        network = DisentangledHarmonyTransformer if self.options.disentangled else HarmonyTransformer
        return network(self.options.width, self.options.layers, self.options.heads)

    def losses(
        self, output: Tensor | tuple[Intrinsics, Tensor], batch: HarmonizationBatch
    ) -> dict[str, Tensor]:
        """Return the mean absolute error of all pixels, weighted."""
        distance = F.l1_loss(_harmonized(output), batch.ground_truth)
        return {"l1": self.options.reconstruction_weight * distance}

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
        """Return the network's picture."""
        return _harmonized(self.modules["generator"](composite, foreground_mask)), None

    @classmethod
    def released_options(cls, state: Mapping[str, Tensor], source: str) -> dict[str, Any]:
        """Return the sizes that a released state dict tells, and whether it is D-HT's; it has two heads."""
        prefix = "" if "enc.model.0.conv.bias" in state else "reflectance_"
        return {
            "width": size_of(state, f"{prefix}enc.model.0.conv.bias", source),
            "layers": count_of(state, rf"{prefix}transformer_enc\.encoder\.layers\.(\d+)\."),
            "disentangled": bool(prefix),
        }


def _harmonized(output: Tensor | tuple[Intrinsics, Tensor]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0].harmonized
