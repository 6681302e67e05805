"""Methods that train one network on pairs of one domain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import MethodOptions, Wrap, require_batches
from charmnet.methods.gradients import adam
from charmnet.methods.harmonization import HarmonizationMethod
from charmnet.methods.optimization import optimize
from charmnet.vocabulary import Domain


class OneDomainOptions(MethodOptions):
    """Options of methods that train on one domain."""

    domain: Domain = Domain.REAL
    """Domain whose pairs it is trained on: real or rendered."""


class OneDomainMethod(HarmonizationMethod):
    """A method whose only network, `modules["generator"]`, learns from composites and ground truths."""

    options: OneDomainOptions
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    """Adam's."""

    @abstractmethod
    def build_generator(self) -> nn.Module:
        """Return the network, freshly initialised; it takes composites and masks."""

    @abstractmethod
    def losses(self, output: Any, batch: HarmonizationBatch) -> dict[str, Tensor]:
        """Return the weighted losses of the network's output by metric name; they are added up."""

    def build(self) -> dict[str, nn.Module]:
        """Return the network."""
        self.domains = frozenset({self.options.domain})
        return {"generator": self.build_generator()}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return Adam."""
        parameters = self.modules["generator"].parameters()
        return {"generator": adam(parameters, self.options.learning_rate, self.betas)}

    def distribute(self, wrap: Wrap) -> None:
        """Wrap the network."""
        self._generate = wrap(self.modules["generator"])

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step; losses come weighted, as they are added up to `total`."""
        return optimize(self, ["generator"], self._part_losses, batches, gradient_weight, self._generate)

    def _part_losses(self, batches: Mapping[Domain, HarmonizationBatch]) -> tuple[Tensor, dict[str, Tensor]]:
        required = require_batches(batches, self.domains, self.requirements.smallest_batch)
        batch = required[self.options.domain]
        with self.autocast():
            output = self._generate(batch.composite, batch.foreground_mask)
        losses = self.losses(output, batch)
        total = torch.stack([*losses.values()]).sum()
        return total, {**losses, "total": total}
