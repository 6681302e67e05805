"""iDIH (WACV 2021): the supervised baseline on one domain, and the warm start of CharmNet's real path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Requirements
from charmnet.methods.harmonization import GeneratorMethod, GeneratorOptions
from charmnet.methods.one_domain import OneDomainMethod, OneDomainOptions
from charmnet.networks.charmnet import Harmonization, released_shape
from charmnet.networks.idih import IDIH, idih_names
from charmnet.networks.state import cpu_copy, load_strictly, precision_of, rename


class IDIHOptions(GeneratorOptions, OneDomainOptions):
    """Options of iDIH."""

    name: Literal["idih"] = "idih"
    """Name of the method."""
    learning_rate: float = Field(1e-3, gt=0)
    """Adam's learning rate, before the schedule's factor."""
    initialization: Literal["normal", "xavier", "kaiming"] = "xavier"
    """Distribution of the initial convolutions: xavier as released, normal as CharmNet's, or kaiming."""


class IDIHMethod(OneDomainMethod, GeneratorMethod):
    """One network, trained by the foreground-normalised MSE alone; see `IDIHOptions`."""

    name = "idih"
    Options = IDIHOptions
    requirements = Requirements(smallest_batch=2)
    options: IDIHOptions

    def build_generator(self) -> nn.Module:
        """Return the network."""
        unshared = self.options.default_unshared_layers
        return IDIH(**self.options.generator_arguments(), unshared_layers=unshared)

    def losses(self, output: Harmonization, batch: HarmonizationBatch) -> dict[str, Tensor]:
        """Return `foreground_mse_<domain>`, the only loss, of weight 1."""
        loss = self.reconstruction_losses(output.harmonized, batch).mean()
        return {f"foreground_mse_{self.options.domain}": loss}

    @classmethod
    def from_released(
        cls,
        state: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float32,
        learning_rate: float = 1e-3,
        source: str = "released iDIH",
    ) -> IDIHMethod:
        """Return a method with weights of the released layout (`idih256.pth`).

        Raises:
            WeightsError: they do not fit; names the `source`.
        """
        renamed = rename(state, idih_names())
        width, _ = released_shape(renamed, source)
        method = cls(learning_rate=learning_rate, width=width, precision=precision_of(dtype))
        load_strictly(method.generator, renamed, source)
        return method

    def released_state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the weights on the CPU in the released layout.

        Raises:
            WeightsError: the head has none.
        """
        self.require_released_head()
        names = {own: released for released, own in idih_names().items()}
        return cpu_copy(rename(self.generator.state_dict(), names))
