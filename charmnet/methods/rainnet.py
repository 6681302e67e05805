"""RainNet (CVPR 2021): region-aware norms in DoveNet's U-Net, trained as DoveNet on pasted pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Requirements
from charmnet.methods.dovenet import RegionAdversarialMethod, RegionAdversarialOptions
from charmnet.networks.dovenet import RegionDiscriminator, discriminator_names
from charmnet.networks.rainnet import RainNet, generator_names
from charmnet.options import Flag


class RainNetOptions(RegionAdversarialOptions):
    """Options of RainNet."""

    name: Literal["rainnet"] = "rainnet"
    """Name of the method."""
    paste: Flag = True
    """Take the background from the composite, in losses and results (published: true)."""


class RainNetMethod(RegionAdversarialMethod):
    """RainNet's networks and update; see `RainNetOptions`."""

    name = "rainnet"
    Options = RainNetOptions
    requirements = Requirements(value_range="symmetric", augmentation="none", capturable=False)
    options: RainNetOptions

    def build(self) -> dict[str, nn.Module]:
        """Return generator and discriminator."""
        options = self.options
        return {
            "generator": RainNet(options.width, options.dropout),
            "discriminator": RegionDiscriminator(options.width, "instance"),
        }

    def training_batch(self, batch: HarmonizationBatch) -> HarmonizationBatch:
        """Return the batch with backgrounds of the composites that are the ground truths' to the bit."""
        mask = batch.foreground_mask
        return replace(batch, composite=batch.composite * mask + batch.ground_truth * (1 - mask))

    @classmethod
    def released_names(cls) -> dict[str, dict[str, str]]:
        """Return both networks' module names as released, with this project's."""
        return {"G": generator_names(), "D": discriminator_names()}
