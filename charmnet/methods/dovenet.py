"""DoveNet (CVPR 2020): a gated U-Net against a discriminator of pictures and of their regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.losses import discriminator_hinge
from charmnet.methods.accuracy import discriminator_accuracy
from charmnet.methods.base import MethodOptions, Requirements, Wrap, require_batches
from charmnet.methods.gradients import adam, at_least_float32, call_frozen, gradient_penalty
from charmnet.methods.harmonization import HarmonizationMethod
from charmnet.methods.optimization import Batches, optimize
from charmnet.methods.released import ReleasedNetworks
from charmnet.networks.batch_norm import frozen_statistics
from charmnet.networks.dovenet import (
    DoveNet,
    NormKind,
    RegionDiscriminator,
    discriminator_names,
    generator_names,
)
from charmnet.options import Flag
from charmnet.vocabulary import Domain

_BETAS = (0.5, 0.999)


class RegionAdversarialOptions(MethodOptions):
    """Options that DoveNet and RainNet share."""

    learning_rate: float = Field(2e-4, gt=0)
    """Adam's learning rate of both networks, before the schedule's factor."""
    width: int = Field(64, ge=2)
    """Channels of the first layers of generator and discriminator (the published ngf and ndf)."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of values that the generator's levels 5 to 7 drop in training; none in evaluation."""
    domain: Domain = Domain.REAL
    """Domain whose pairs it is trained on: real or rendered."""
    reconstruction_weight: float = Field(100.0, ge=0)
    """Weight of the mean absolute error over all pixels (published: 100)."""
    adversarial_weight: float = Field(1.0, ge=0)
    """Weight of the generator's loss under the discriminator's score of whole pictures (published: 1)."""
    verification_weight: float = Field(1.0, ge=0)
    """Weight of the generator's loss under its score of regions that agree (published: 1)."""
    penalty_weight: float = Field(10.0, ge=0)
    """Weight of the discriminator's gradient penalty (published: 10)."""
    paste: Flag = False
    """Take the background from the composite, in losses and results."""


class DoveNetOptions(RegionAdversarialOptions):
    """Options of DoveNet."""

    name: Literal["dovenet"] = "dovenet"
    """Name of the method."""
    norm: NormKind = "batch"
    """Norms of both networks: batch as in the released weights, instance as in the released script."""


class RegionAdversarialMethod(ReleasedNetworks, HarmonizationMethod):
    """A generator and a `RegionDiscriminator` in turns, the discriminator first."""

    options: RegionAdversarialOptions
    released_networks: ClassVar = {"G": "generator", "D": "discriminator"}
    released_inference = ("G",)
    verifies_again = False
    """Whether the generator's step ends with a call of the discriminator on ground truths."""

    def __init__(self, *, seed: int | None = None, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self.domains = frozenset({self.options.domain})
        self.requirements = replace(self.requirements, pastes=self.options.paste)

    def inference_modules(self) -> Iterable[nn.Module]:
        """Return the generator."""
        return (self.modules["generator"],)

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the generator's output."""
        return self.modules["generator"](composite, foreground_mask), None

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return Adam for either network."""
        rate = self.options.learning_rate
        return {name: adam(network.parameters(), rate, _BETAS) for name, network in self.modules.items()}

    def distribute(self, wrap: Wrap) -> None:
        """Wrap both networks."""
        self._generate = wrap(self.modules["generator"])
        self._discriminate = wrap(self.modules["discriminator"])

    def training_batch(self, batch: HarmonizationBatch) -> HarmonizationBatch:
        """Return a batch as the method is trained on it."""
        return batch

    def draw_shares(self, ground_truth: Tensor) -> Tensor:
        """Return the ground truth's share [B,1,1,1] of each picture that the penalty is taken at."""
        return torch.rand(len(ground_truth), 1, 1, 1, dtype=ground_truth.dtype, device=ground_truth.device)

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step: the discriminator's, then the generator's, of one output of the generator.

        Losses are scaled as the released code logs them, by their weights; `discriminator` and `total` are
        the sums. With `accumulation` above 1 the generator makes its outputs twice, with dropout drawn anew.
        """
        output = self._output(self._batch(batches)) if self.accumulation == 1 else None
        metrics = self._update_discriminator(batches, output, gradient_weight)
        return metrics | self._update_generator(batches, output, gradient_weight)

    def _batch(self, batches: Mapping[Domain, HarmonizationBatch]) -> HarmonizationBatch:
        required = require_batches(batches, self.domains, self.requirements.smallest_batch)
        return self.training_batch(required[self.options.domain])

    def _output(self, batch: HarmonizationBatch) -> Tensor:
        """Return the generator's pictures, pasted where the method pastes."""
        with self.autocast():
            output = at_least_float32(self._generate(batch.composite, batch.foreground_mask))
        if self.options.paste:
            output = output * batch.foreground_mask + batch.composite * (1 - batch.foreground_mask)
        return output

    @torch.no_grad()
    def _output_again(self, batch: HarmonizationBatch) -> Tensor:
        """Return `_output` without gradients, for a discriminator's step of several parts."""
        with frozen_statistics(self.modules["generator"]):
            return self._output(batch)

    def _update_discriminator(
        self, batches: Mapping[Domain, HarmonizationBatch], output: Tensor | None, gradient_weight: float
    ) -> dict[str, Tensor]:
        def losses(part: Batches) -> tuple[Tensor, dict[str, Tensor]]:
            batch = self._batch(part)
            made = self._output_again(batch) if output is None else output.detach()
            return self._discriminator_losses(batch, made)

        return optimize(self, ["discriminator"], losses, batches, gradient_weight, self._discriminate)

    def _discriminator_losses(
        self, batch: HarmonizationBatch, output: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the discriminator's loss, and metrics."""
        mask = batch.foreground_mask
        scores, agreements = zip(
            self._discriminate(output, mask), self._discriminate(batch.ground_truth, mask), strict=True
        )
        names = ("discriminator_global", "discriminator_verification")
        losses = {
            f"{name}_{kind}": loss
            for name, values in zip(names, (scores, agreements), strict=True)
            for kind, loss in zip(("harmonized", "ground_truth"), discriminator_hinge(*values), strict=True)
        }
        losses["gradient_penalty"] = self.options.penalty_weight * self._penalty(batch, output)
        loss = torch.stack(list(losses.values())).sum()
        return loss, {
            **losses,
            "discriminator": loss,
            **discriminator_accuracy(harmonized=scores[0] < 0, ground_truth=scores[1] > 0),
            **discriminator_accuracy(
                "discriminator_accuracy_verification",
                harmonized=agreements[0] < 0,
                ground_truth=agreements[1] > 0,
            ),
        }

    def _penalty(self, batch: HarmonizationBatch, output: Tensor) -> Tensor:
        """Return the penalty of the mean score's gradient at pictures between ground truths and outputs."""
        shares = self.draw_shares(batch.ground_truth)
        between = (shares * batch.ground_truth + (1 - shares) * output).requires_grad_()
        score, agreement = self._discriminate(between, batch.foreground_mask)
        return gradient_penalty((score + agreement) / 2, between)

    def _update_generator(
        self, batches: Mapping[Domain, HarmonizationBatch], output: Tensor | None, gradient_weight: float
    ) -> dict[str, Tensor]:
        def losses(part: Batches) -> tuple[Tensor, dict[str, Tensor]]:
            batch = self._batch(part)
            return self._generator_losses(batch, self._output(batch) if output is None else output)

        return optimize(self, ["generator"], losses, batches, gradient_weight, self._generate)

    def _generator_losses(
        self, batch: HarmonizationBatch, output: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the generator's loss under the updated discriminator, and metrics."""
        discriminator, options = self.modules["discriminator"], self.options
        score, agreement = call_frozen(discriminator, output, batch.foreground_mask)
        if self.verifies_again:
            with torch.no_grad():
                discriminator(batch.ground_truth, batch.foreground_mask)
        losses = {
            "adversarial_global": -options.adversarial_weight * score.mean(),
            "adversarial_verification": -options.verification_weight * agreement.mean(),
            "l1": options.reconstruction_weight * F.l1_loss(output, batch.ground_truth),
        }
        loss = torch.stack(list(losses.values())).sum()
        return loss, losses | {"total": loss}

    @classmethod
    def released_options(
        cls,
        states: Mapping[str, Mapping[str, Tensor]],
        sources: Mapping[str, str],  # noqa: ARG003
    ) -> dict[str, Any]:
        """Return the options that the generator's state dict tells."""
        first = states["G"].get("down.0.weight")
        return {} if first is None or first.ndim == 0 else {"width": len(first)}


class DoveNetMethod(RegionAdversarialMethod):
    """DoveNet's networks and update; see `DoveNetOptions`."""

    name = "dovenet"
    Options = DoveNetOptions
    requirements = Requirements(value_range="symmetric", augmentation="none", capturable=False)
    options: DoveNetOptions
    verifies_again = True

    def build(self) -> dict[str, nn.Module]:
        """Return generator and discriminator."""
        options = self.options
        return {
            "generator": DoveNet(options.width, options.norm, options.dropout),
            "discriminator": RegionDiscriminator(options.width, options.norm),
        }

    @classmethod
    def released_names(cls) -> dict[str, dict[str, str]]:
        """Return both networks' module names as released, with this project's."""
        return {"G": generator_names(), "D": discriminator_names()}

    @classmethod
    def released_options(
        cls, states: Mapping[str, Mapping[str, Tensor]], sources: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return the options that the generator's state dict tells."""
        norm: NormKind = "instance" if "down.0.bias" in states["G"] else "batch"
        return {**super().released_options(states, sources), "norm": norm}
