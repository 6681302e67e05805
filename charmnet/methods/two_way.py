"""Translators that have a generator and a discriminator of each domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.accuracy import discriminator_accuracy
from charmnet.methods.base import Wrap
from charmnet.methods.gradients import adam
from charmnet.methods.optimization import optimize
from charmnet.methods.translation import ADAM_BETAS, DOMAINS, Pictures, ReleasedTranslator
from charmnet.vocabulary import Domain


class TwoWayTranslation(ReleasedTranslator):
    """A method of the networks `generator_<domain>` and `discriminator_<domain>` of both domains.

    Its generators' losses are named `<kind>_<domain>`, and weighted by the option `<kind>_weight`.
    """

    weight_decay: ClassVar[float] = 0.0
    """Adam's."""

    def network(self, kind: Literal["generator", "discriminator"], domain: Domain) -> nn.Module:
        """Return the bare network of a kind and a domain."""
        return self.modules[f"{kind}_{domain}"]

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimizer of both generators, and that of both discriminators."""
        return {
            f"{kind}s": adam(
                [{"params": m.parameters()} for name, m in self.modules.items() if name.startswith(kind)],
                self.options.learning_rate,
                ADAM_BETAS,
                self.weight_decay,
            )
            for kind in ("generator", "discriminator")
        }

    def distribute(self, wrap: Wrap) -> None:
        """Wrap the discriminators."""
        self._discriminate = {domain: wrap(self.network("discriminator", domain)) for domain in DOMAINS}

    def with_total(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the generators' losses, and the losses with it as `total`."""
        weights = self.options.model_dump()
        total = torch.stack(
            [weights[f"{name.rpartition('_')[0]}_weight"] * loss for name, loss in losses.items()]
        ).sum()
        return total, {**losses, "total": total}

    def step_discriminators(
        self,
        batches: Mapping[Domain, HarmonizationBatch],
        gradient_weight: float,
        losses: Callable[[Pictures], tuple[Tensor, dict[str, Tensor]]],
    ) -> dict[str, Tensor]:
        """Step both discriminators down `losses` of the pictures of a part; return its metrics."""
        return optimize(
            self,
            ["discriminators"],
            lambda part: losses(self.pictures(part)),
            batches,
            gradient_weight,
            *self._discriminate.values(),
        )


def judgement(
    losses: Mapping[Domain, Tensor], right: Mapping[Domain, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sum of both discriminators' losses, and their metrics.

    Args:
        losses: loss of each domain's discriminator.
        right: whether each of its decisions is right.
    """
    loss = torch.stack(list(losses.values())).sum()
    named = {f"discriminator_{domain}": value for domain, value in losses.items()}
    accuracies = discriminator_accuracy(rendered=right[Domain.RENDERED], real=right[Domain.REAL])
    return loss, {**named, "discriminator": loss, **accuracies}
