"""CycleGAN (ICCV 2017): two translators, each of which undoes the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.methods.accuracy import discriminator_accuracy
from charmnet.methods.base import Wrap, mean_metrics
from charmnet.methods.gradients import adam, at_least_float32, call_frozen, gradient_norm
from charmnet.methods.image_pool import ImagePool
from charmnet.methods.translation import (
    ADAM_BETAS,
    DOMAINS,
    OTHER,
    Pictures,
    TranslationMethod,
    TranslatorOptions,
    least_squares,
    nearer_to_one,
)
from charmnet.networks.cyclegan import PatchDiscriminator, ResidualGenerator
from charmnet.vocabulary import Domain


class CycleGANOptions(TranslatorOptions):
    """Options of CycleGAN."""

    name: Literal["cyclegan"] = "cyclegan"
    """Name of the method."""
    cycle_weight: float = Field(10.0, ge=0)
    """Weight of the L1 distance of pictures to what comes back of them (released: 10)."""
    identity_weight: float = Field(5.0, ge=0)
    """Weight of the L1 distance of a domain's pictures to their translation into it (released: 5)."""


class CycleGANMethod(TranslationMethod):
    """Two generators, two discriminators and their pools of earlier outputs; see `CycleGANOptions`."""

    name = "cyclegan"
    Options = CycleGANOptions
    options: CycleGANOptions

    def build(self) -> dict[str, nn.Module]:
        """Return for each domain the generator that makes its pictures, and its discriminator."""
        width, blocks = self.options.width, self.options.blocks
        self.pools = {domain: ImagePool() for domain in DOMAINS}
        # As released: the translator of the source is drawn first.
        generators = {f"generator_{OTHER[domain]}": ResidualGenerator(width, blocks) for domain in DOMAINS}
        critics = {f"discriminator_{OTHER[domain]}": PatchDiscriminator(width) for domain in DOMAINS}
        return {**generators, **critics}

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimizer of both generators, and that of both discriminators."""
        return {
            f"{kind}s": adam(
                [{"params": self._network(kind, OTHER[domain]).parameters()} for domain in DOMAINS],
                self.options.learning_rate,
                ADAM_BETAS,
            )
            for kind in ("generator", "discriminator")
        }

    def distribute(self, wrap: Wrap) -> None:
        """Wrap each network."""
        self._generate = {domain: wrap(self._network("generator", domain)) for domain in DOMAINS}
        self._discriminate = {domain: wrap(self._network("discriminator", domain)) for domain in DOMAINS}

    def infer(self, image: Tensor) -> Tensor:
        """Return rendered pictures as real ones."""
        output: Tensor = self._network("generator", Domain.REAL)(image)
        return output

    def extra_state(self) -> dict[str, Tensor]:
        """Return the pools of earlier outputs."""
        return {f"pool_{domain}": pool.state() for domain, pool in self.pools.items()}

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over the pools of earlier outputs."""
        expected = {f"pool_{domain}" for domain in DOMAINS}
        if set(state) != expected:
            raise WeightsError(f"{self.name}'s extra state is {sorted(state)}, expected {sorted(expected)}")
        device = next(self._network("generator", Domain.REAL).parameters()).device
        for domain, pool in self.pools.items():
            pool.load_state(state[f"pool_{domain}"], device)

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step: the generators', then the discriminators'.

        Losses are not weighted, `total` is the generators' weighted sum. Each is named after the domain of
        the pictures that it is about.
        """
        metrics, translated = self._update_generators(batches, gradient_weight)
        return metrics | self._update_discriminators(batches, translated, gradient_weight)

    def _network(self, kind: str, domain: Domain) -> nn.Module:
        return self.modules[f"{kind}_{domain}"]

    def _update_generators(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float
    ) -> tuple[dict[str, Tensor], Pictures]:
        """Step the generators; return metrics and detached translations by the domain they are made to be."""
        self.optimizers["generators"].zero_grad()
        metrics, outputs = [], []
        for part, share in self.parts(batches, *self._generate.values()):
            losses, translated = self._generator_losses(self.pictures(part))
            total = self._weighted_sum(losses)
            (gradient_weight * share * total).backward()
            outputs.append({domain: image.detach() for domain, image in translated.items()})
            values = {name: value.detach() for name, value in {**losses, "total": total}.items()}
            metrics.append((values, share))
        norm = gradient_norm(*(self._network("generator", domain) for domain in DOMAINS))
        self.step("generators")
        joined = {domain: torch.cat([output[domain] for output in outputs]) for domain in DOMAINS}
        return mean_metrics(metrics) | {"grad_norm_generators": norm}, joined

    def _generator_losses(self, pictures: Pictures) -> tuple[dict[str, Tensor], Pictures]:
        with self.autocast():
            translated = {domain: self._generate[domain](pictures[OTHER[domain]]) for domain in DOMAINS}
            returned = {domain: self._generate[domain](translated[OTHER[domain]]) for domain in DOMAINS}
            kept = {domain: self._generate[domain](pictures[domain]) for domain in DOMAINS}
            scores = {
                domain: call_frozen(self._network("discriminator", domain), translated[domain])
                for domain in DOMAINS
            }
        losses = {
            f"adversarial_{domain}": least_squares(at_least_float32(scores[domain]), 1.0)
            for domain in DOMAINS
        }
        for name, outputs in (("cycle", returned), ("identity", kept)):
            for domain in DOMAINS:
                losses[f"{name}_{domain}"] = F.l1_loss(at_least_float32(outputs[domain]), pictures[domain])
        return losses, {domain: at_least_float32(image) for domain, image in translated.items()}

    def _weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        options = self.options
        weights = {
            "adversarial": options.adversarial_weight,
            "cycle": options.cycle_weight,
            "identity": options.identity_weight,
        }
        return torch.stack([weights[name.partition("_")[0]] * loss for name, loss in losses.items()]).sum()

    def _update_discriminators(
        self,
        batches: Mapping[Domain, HarmonizationBatch],
        translated: Pictures,
        gradient_weight: float,
    ) -> dict[str, Tensor]:
        self.optimizers["discriminators"].zero_grad()
        shown = {domain: self.pools[domain].query(translated[domain]) for domain in DOMAINS}
        metrics, start = [], 0
        for part, share in self.parts(batches, *self._discriminate.values()):
            pictures = self.pictures(part)
            stop = start + len(pictures[Domain.REAL])
            judged = {domain: images[start:stop] for domain, images in shown.items()}
            loss, values = self._discriminator_losses(pictures, judged)
            (gradient_weight * share * loss).backward()
            metrics.append((values, share))
            start = stop
        norm = gradient_norm(*(self._network("discriminator", domain) for domain in DOMAINS))
        self.step("discriminators")
        return mean_metrics(metrics) | {"grad_norm_discriminators": norm}

    def _discriminator_losses(
        self, pictures: Pictures, translated: Pictures
    ) -> tuple[Tensor, dict[str, Tensor]]:
        losses, right = {}, {}
        for domain, discriminate in self._discriminate.items():
            with self.autocast():
                own = at_least_float32(discriminate(pictures[domain]))
                made = at_least_float32(discriminate(translated[domain]))
            losses[f"discriminator_{domain}"] = (least_squares(own, 1.0) + least_squares(made, 0.0)) / 2
            right[domain] = torch.cat([nearer_to_one(own), ~nearer_to_one(made)])
        loss = torch.stack(list(losses.values())).sum()
        accuracies = discriminator_accuracy(rendered=right[Domain.RENDERED], real=right[Domain.REAL])
        values = {**losses, "discriminator": loss, **accuracies}
        return loss, {name: value.detach() for name, value in values.items()}
