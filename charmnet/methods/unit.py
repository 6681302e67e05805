"""UNIT (NeurIPS 2017): two autoencoders with codes in common, so that one decodes what the other encodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.base import Wrap
from charmnet.methods.gradients import at_least_float32, call_frozen
from charmnet.methods.optimization import optimize
from charmnet.methods.translation import (
    DOMAINS,
    OTHER,
    Pictures,
    TranslatorOptions,
    least_squares,
    nearer_to_one,
)
from charmnet.methods.two_way import TwoWayTranslation, judgement
from charmnet.networks.unit import BLOCKS, Autoencoder, ScaledDiscriminator
from charmnet.vocabulary import Domain


class UNITOptions(TranslatorOptions):
    """Options of UNIT."""

    name: Literal["unit"] = "unit"
    """Name of the method."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam's learning rate of all networks, before the schedule's factor."""
    blocks: int = Field(BLOCKS, ge=1)
    """Residual blocks of an encoder, and of a decoder (released: 4)."""
    reconstruction_weight: float = Field(10.0, ge=0)
    """Weight of the L1 distance of pictures to what is decoded of their code (released: 10)."""
    cycle_weight: float = Field(10.0, ge=0)
    """Weight of the L1 distance of pictures to what comes back of their translation (released: 10)."""
    kl_weight: float = Field(0.01, ge=0)
    """Weight of the codes' divergence from a unit normal distribution (released: 0.01)."""
    cycle_kl_weight: float = Field(0.01, ge=0)
    """Weight of the same of translations' codes (released: 0.01)."""


class UNITMethod(TwoWayTranslation):
    """An autoencoder and a discriminator of each domain; see `UNITOptions`."""

    name = "unit"
    Options = UNITOptions
    options: UNITOptions
    weight_decay = 1e-4
    released_networks: ClassVar = {  # "a" and "b" of the released gen_*.pt and dis_*.pt
        "gen_a": "generator_rendered",
        "gen_b": "generator_real",
        "dis_a": "discriminator_rendered",
        "dis_b": "discriminator_real",
    }
    released_inference = ("gen_a", "gen_b")
    released_sizes = ("enc.model.0.conv.bias", r"enc\.model\.3\.model\.(\d+)\.")

    def build(self) -> dict[str, nn.Module]:
        """Return both domains' autoencoders and discriminators."""
        width, blocks = self.options.width, self.options.blocks
        generators = {f"generator_{domain}": Autoencoder(width, blocks) for domain in DOMAINS}
        critics = {f"discriminator_{domain}": ScaledDiscriminator(width) for domain in DOMAINS}
        return {**generators, **critics}

    def distribute(self, wrap: Wrap) -> None:
        """Wrap encoders, decoders and discriminators."""
        generators = {domain: self._generator(domain) for domain in DOMAINS}
        self._encode = {domain: wrap(generator.enc) for domain, generator in generators.items()}
        self._decode = {domain: wrap(generator.dec) for domain, generator in generators.items()}
        super().distribute(wrap)

    def infer(self, image: Tensor) -> Tensor:
        """Return rendered pictures as real ones, decoded without noise."""
        code = self._generator(Domain.RENDERED).enc(image)
        output: Tensor = self._generator(Domain.REAL).dec(code)
        return output

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step: the discriminators', then the autoencoders', each with noise of its own.

        Losses are not weighted, `total` is the autoencoders' weighted sum. Each is named after the domain of
        the pictures that it is about.
        """
        metrics = self.step_discriminators(
            batches, gradient_weight, lambda part: self._discriminator_losses(part, self._translated(part))
        )
        return metrics | optimize(
            self,
            ["generators"],
            lambda part: self.with_total(self._generator_losses(self.pictures(part))),
            batches,
            gradient_weight,
            *self._encode.values(),
            *self._decode.values(),
        )

    def _generator(self, domain: Domain) -> Autoencoder:
        generator = self.network("generator", domain)
        assert isinstance(generator, Autoencoder)
        return generator

    def _draw_noise(self, code: Tensor) -> Tensor:
        return torch.randn_like(code)

    def _noisy(self, code: Tensor) -> Tensor:
        return code + self._draw_noise(code)

    @torch.no_grad()
    def _translated(self, pictures: Pictures) -> Pictures:
        """Return translations by the domain that they are made to be of."""
        with self.autocast():
            noisy = {domain: self._noisy(self._encode[domain](pictures[domain])) for domain in DOMAINS}
            return {domain: self._decode[domain](noisy[OTHER[domain]]) for domain in DOMAINS}

    def _discriminator_losses(
        self, pictures: Pictures, translated: Pictures
    ) -> tuple[Tensor, dict[str, Tensor]]:
        losses, right = {}, {}
        for domain, discriminate in self._discriminate.items():
            with self.autocast():
                made, own = discriminate(translated[domain]), discriminate(pictures[domain])
            losses[domain] = _over_scales(made, 0.0) + _over_scales(own, 1.0)
            right[domain] = torch.cat(
                [
                    *(~nearer_to_one(scores).flatten() for scores in made),
                    *(nearer_to_one(scores).flatten() for scores in own),
                ]
            )
        return judgement(losses, right)

    def _generator_losses(self, pictures: Pictures) -> dict[str, Tensor]:
        with self.autocast():
            codes = {domain: self._encode[domain](pictures[domain]) for domain in DOMAINS}
            noisy = {domain: self._noisy(codes[domain]) for domain in DOMAINS}
            decoded = {domain: self._decode[domain](noisy[domain]) for domain in DOMAINS}
            translated = {domain: self._decode[domain](noisy[OTHER[domain]]) for domain in DOMAINS}
            # By the domain that codes are read in; what they came from is the other's.
            again = {domain: self._encode[domain](translated[domain]) for domain in DOMAINS}
            noisy_again = {domain: self._noisy(again[domain]) for domain in DOMAINS}
            returned = {domain: self._decode[domain](noisy_again[OTHER[domain]]) for domain in DOMAINS}
            scores = {
                domain: call_frozen(self.network("discriminator", domain), translated[domain])
                for domain in DOMAINS
            }
        losses: dict[str, Tensor] = {}
        for domain in DOMAINS:
            picture = pictures[domain]
            losses |= {
                f"adversarial_{domain}": _over_scales(scores[domain], 1.0),
                f"reconstruction_{domain}": F.l1_loss(at_least_float32(decoded[domain]), picture),
                f"kl_{domain}": mean_square(codes[domain]),
                f"cycle_{domain}": F.l1_loss(at_least_float32(returned[domain]), picture),
                f"cycle_kl_{domain}": mean_square(again[OTHER[domain]]),
            }
        return losses


def _over_scales(scores: Sequence[Tensor], value: float) -> Tensor:
    """Return the sum over a picture's sizes of the scores' mean squared distance to a value."""
    return torch.stack([least_squares(at_least_float32(part), value) for part in scores]).sum()


def mean_square(code: Tensor) -> Tensor:
    """Return twice the divergence of N(code, 1) from N(0, 1), by value of the code."""
    return at_least_float32(code).square().mean()
