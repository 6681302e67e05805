"""CycleGAN (ICCV 2017): two translators, each of which undoes the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.methods.base import Wrap
from charmnet.methods.gradients import at_least_float32, call_frozen
from charmnet.methods.image_pool import ImagePool
from charmnet.methods.optimization import Batches, optimize
from charmnet.methods.translation import (
    DOMAINS,
    OTHER,
    Pictures,
    TranslatorOptions,
    least_squares,
    nearer_to_one,
)
from charmnet.methods.two_way import TwoWayTranslation, judgement
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


class CycleGANMethod(TwoWayTranslation):
    """Two generators, two discriminators and their pools of earlier outputs; see `CycleGANOptions`."""

    name = "cyclegan"
    Options = CycleGANOptions
    options: CycleGANOptions
    released_networks: ClassVar = {  # G_A translates the domain A, here rendered; D_A judges what it makes
        "G_A": "generator_real",
        "G_B": "generator_rendered",
        "D_A": "discriminator_real",
        "D_B": "discriminator_rendered",
    }
    released_inference = ("G_A",)
    released_sizes = ("model.1.bias", r"model\.(\d+)\.conv_block\.")

    def build(self) -> dict[str, nn.Module]:
        """Return for each domain the generator that makes its pictures, and its discriminator."""
        width, blocks = self.options.width, self.options.blocks
        self.pools = {domain: ImagePool() for domain in DOMAINS}
        # As released: the translator of the source is drawn first.
        generators = {f"generator_{OTHER[domain]}": ResidualGenerator(width, blocks) for domain in DOMAINS}
        critics = {f"discriminator_{OTHER[domain]}": PatchDiscriminator(width) for domain in DOMAINS}
        return {**generators, **critics}

    def distribute(self, wrap: Wrap) -> None:
        """Wrap each network."""
        self._generate = {domain: wrap(self.network("generator", domain)) for domain in DOMAINS}
        super().distribute(wrap)

    def infer(self, image: Tensor) -> Tensor:
        """Return rendered pictures as real ones."""
        output: Tensor = self.network("generator", Domain.REAL)(image)
        return output

    def extra_state(self) -> dict[str, Tensor]:
        """Return the pools of earlier outputs."""
        return {f"pool_{domain}": pool.state() for domain, pool in self.pools.items()}

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over the pools of earlier outputs."""
        expected = {f"pool_{domain}" for domain in DOMAINS}
        if set(state) != expected:
            raise WeightsError(f"{self.name}'s extra state is {sorted(state)}, expected {sorted(expected)}")
        device = next(self.network("generator", Domain.REAL).parameters()).device
        for domain, pool in self.pools.items():
            pool.load_state(state[f"pool_{domain}"], device)

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step: the generators', then the discriminators'.

        Losses are not weighted, `total` is the generators' weighted sum. Each is named after the domain of
        the pictures that it is about.
        """
        outputs: list[Pictures] = []  # of each part

        def generator_losses(part: Batches) -> tuple[Tensor, dict[str, Tensor]]:
            losses, translated = self._generator_losses(self.pictures(part))
            outputs.append({domain: image.detach() for domain, image in translated.items()})
            return self.with_total(losses)

        metrics = optimize(
            self, ["generators"], generator_losses, batches, gradient_weight, *self._generate.values()
        )
        shown = iter(
            [{domain: self.pools[domain].query(part[domain]) for domain in DOMAINS} for part in outputs]
        )
        return metrics | self.step_discriminators(
            batches, gradient_weight, lambda part: self._discriminator_losses(part, next(shown))
        )

    def _generator_losses(self, pictures: Pictures) -> tuple[dict[str, Tensor], Pictures]:
        with self.autocast():
            translated = {domain: self._generate[domain](pictures[OTHER[domain]]) for domain in DOMAINS}
            returned = {domain: self._generate[domain](translated[OTHER[domain]]) for domain in DOMAINS}
            kept = {domain: self._generate[domain](pictures[domain]) for domain in DOMAINS}
            scores = {
                domain: call_frozen(self.network("discriminator", domain), translated[domain])
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

    def _discriminator_losses(
        self, pictures: Pictures, translated: Pictures
    ) -> tuple[Tensor, dict[str, Tensor]]:
        losses, right = {}, {}
        for domain, discriminate in self._discriminate.items():
            with self.autocast():
                own = at_least_float32(discriminate(pictures[domain]))
                made = at_least_float32(discriminate(translated[domain]))
            losses[domain] = (least_squares(own, 1.0) + least_squares(made, 0.0)) / 2
            right[domain] = torch.cat([nearer_to_one(own), ~nearer_to_one(made)])
        return judgement(losses, right)
