"""iDIH (WACV 2021): the supervised baseline on one domain, and the warm start of CharmNet's real path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Requirements, Wrap, mean_metrics, require_batches
from charmnet.methods.gradients import adam, gradient_norm
from charmnet.methods.harmonization import GeneratorMethod, GeneratorOptions
from charmnet.networks.charmnet import released_shape
from charmnet.networks.idih import IDIH, idih_names, rename
from charmnet.networks.state import cpu_copy, load_strictly, precision_of
from charmnet.vocabulary import Domain


class IDIHOptions(GeneratorOptions):
    """Options of iDIH."""

    name: Literal["idih"] = "idih"
    """Name of the method."""
    learning_rate: float = Field(1e-3, gt=0)
    """Adam's learning rate, before the schedule's factor."""
    initialization: Literal["normal", "xavier", "kaiming"] = "xavier"
    """Distribution of the initial convolutions: xavier as released, normal as CharmNet's, or kaiming."""
    domain: Domain = Domain.REAL
    """Domain whose pairs it is trained on: real or rendered."""


class IDIHMethod(GeneratorMethod):
    """One network, trained by the foreground-normalised MSE alone; see `IDIHOptions`."""

    name = "idih"
    Options = IDIHOptions
    requirements = Requirements(smallest_batch=2)
    options: IDIHOptions

    def build(self) -> dict[str, nn.Module]:
        """Return the network."""
        self.domains = frozenset({self.options.domain})
        options = self.options
        unshared = options.default_unshared_layers
        return {"generator": IDIH(**options.generator_arguments(), unshared_layers=unshared)}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return Adam."""
        return {"generator": adam(self.generator.parameters(), self.options.learning_rate)}

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

    def distribute(self, wrap: Wrap) -> None:
        """Wrap the network."""
        self._generate = wrap(self.generator)

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step; `foreground_mse_<domain>` is the loss, of weight 1."""
        self.optimizers["generator"].zero_grad()
        metrics = []
        for part, share in self.parts(batches, self._generate):
            loss = self._loss(part)
            (gradient_weight * share * loss).backward()
            value = loss.detach()
            metrics.append(({f"foreground_mse_{self.options.domain}": value, "total": value}, share))
        norm = gradient_norm(self.generator)
        self.step("generator")
        return mean_metrics(metrics) | {"grad_norm_generator": norm}

    def _loss(self, batches: Mapping[Domain, HarmonizationBatch]) -> Tensor:
        required = require_batches(batches, self.domains, self.requirements.smallest_batch)
        batch = required[self.options.domain]
        with self.autocast():
            result = self._generate(batch.composite, batch.foreground_mask)
        return self.reconstruction_losses(result.harmonized, batch).mean()
