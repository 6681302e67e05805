"""CUT (ECCV 2020): one translator, which keeps each patch more alike to itself than to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.methods.accuracy import discriminator_accuracy
from charmnet.methods.base import Wrap
from charmnet.methods.gradients import adam, at_least_float32, call_frozen
from charmnet.methods.optimization import Batches, optimize
from charmnet.methods.translation import (
    ADAM_BETAS,
    ReleasedTranslator,
    TranslatorOptions,
    least_squares,
    nearer_to_one,
)
from charmnet.networks.cut import BlurredDiscriminator, BlurredGenerator, PatchProjection
from charmnet.vocabulary import Domain

NUM_PATCHES = 256
"""Positions of each tap that are compared."""

TEMPERATURE = 0.07
"""What similarities of patches are divided by."""

_OWN_LOGIT = -10.0  # of a patch with itself among the others: as good as none


class CUTOptions(TranslatorOptions):
    """Options of CUT."""

    name: Literal["cut"] = "cut"
    """Name of the method."""
    nce_weight: float = Field(1.0, ge=0)
    """Weight of the mean of both contrastive losses of patches (released: 1)."""


class CUTMethod(ReleasedTranslator):
    """A generator, its discriminator and the projection of patches; see `CUTOptions`."""

    name = "cut"
    Options = CUTOptions
    options: CUTOptions
    released_networks: ClassVar = {"G": "generator", "D": "discriminator", "F": "projection"}
    released_inference = ("G",)
    released_sizes = ("model.1.bias", r"model\.(\d+)\.conv_block\.")

    def build(self) -> dict[str, nn.Module]:
        """Return generator, discriminator and projection."""
        generator = BlurredGenerator(self.options.width, self.options.blocks)
        return {
            "generator": generator,
            "discriminator": BlurredDiscriminator(self.options.width),
            "projection": PatchProjection(generator.tap_channels),
        }

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return an optimizer of each network."""
        return {
            name: adam(network.parameters(), self.options.learning_rate, ADAM_BETAS)
            for name, network in self.modules.items()
        }

    def distribute(self, wrap: Wrap) -> None:
        """Wrap each network."""
        self._generate, self._discriminate, self._project = (
            wrap(self.modules[name]) for name in ("generator", "discriminator", "projection")
        )

    def infer(self, image: Tensor) -> Tensor:
        """Return rendered pictures as real ones."""
        output: Tensor = self.modules["generator"](image)[0]
        return output

    def update(
        self, batches: Mapping[Domain, HarmonizationBatch], gradient_weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Make one step: the discriminator's, then that of generator and projection.

        `nce_rendered` is the contrastive loss of translations, `nce_real` that of real pictures which went
        through the generator, too. Losses are not weighted, `total` is the generator's weighted sum.
        """
        outputs = self._outputs(self._joined(batches)) if self.accumulation == 1 else None
        metrics = self._update_discriminator(batches, outputs, gradient_weight)
        return metrics | self._update_generator(batches, outputs, gradient_weight)

    def _joined(self, batches: Mapping[Domain, HarmonizationBatch]) -> Tensor:
        """Return [2B,3,H,W]: rendered pictures, then real ones."""
        return torch.cat(list(self.pictures(batches).values()))

    def _outputs(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        with self.autocast():
            outputs: tuple[Tensor, list[Tensor]] = self._generate(pictures)
        return outputs

    @torch.no_grad()
    def _outputs_again(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return `_outputs`' without gradients, for a discriminator's step of several parts."""
        return self._outputs(pictures)

    def _update_discriminator(
        self,
        batches: Mapping[Domain, HarmonizationBatch],
        outputs: tuple[Tensor, list[Tensor]] | None,
        gradient_weight: float,
    ) -> dict[str, Tensor]:
        def losses(part: Batches) -> tuple[Tensor, dict[str, Tensor]]:
            pictures = self._joined(part)
            translated = (outputs or self._outputs_again(pictures))[0].chunk(2)[0]
            with self.autocast():
                made = at_least_float32(self._discriminate(translated.detach()))
                own = at_least_float32(self._discriminate(pictures.chunk(2)[1]))
            loss = (least_squares(own, 1.0) + least_squares(made, 0.0)) / 2
            right = discriminator_accuracy(translated=~nearer_to_one(made), real=nearer_to_one(own))
            return loss, {"discriminator": loss, **right}

        return optimize(self, ["discriminator"], losses, batches, gradient_weight, self._discriminate)

    def _update_generator(
        self,
        batches: Mapping[Domain, HarmonizationBatch],
        outputs: tuple[Tensor, list[Tensor]] | None,
        gradient_weight: float,
    ) -> dict[str, Tensor]:
        def losses(part: Batches) -> tuple[Tensor, dict[str, Tensor]]:
            found = self._generator_losses(*(outputs or self._outputs(self._joined(part))))
            return found["total"], found

        return optimize(
            self,
            ["generator", "projection"],
            losses,
            batches,
            gradient_weight,
            self._generate,
            self._project,
        )

    def _generator_losses(self, outputs: Tensor, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the losses of [2B,3,H,W] outputs and the features of what they were made of."""
        with self.autocast():
            scores = call_frozen(self.modules["discriminator"], outputs.chunk(2)[0])
            queries = self._generate(outputs, encode_only=True)[1]
        halves = [zip(*(maps.chunk(2) for maps in taps), strict=True) for taps in (queries, features)]
        rendered, real = (self._contrast(*pair) for pair in zip(*halves, strict=True))
        adversarial = least_squares(at_least_float32(scores), 1.0)
        total = self.options.adversarial_weight * adversarial
        total = total + self.options.nce_weight * (rendered + real) / 2
        return {"adversarial": adversarial, "nce_rendered": rendered, "nce_real": real, "total": total}

    def _contrast(self, queries: Sequence[Tensor], keys: Sequence[Tensor]) -> Tensor:
        """Return the mean over taps of the loss that tells each patch's origin from other patches.

        Args:
            queries: features of outputs by tap, [B,C,H,W].
            keys: features of what they were made of.
        """
        positions = [self._draw_positions(maps) for maps in keys]
        with self.autocast():
            projected = self._project(queries, positions)
            with torch.no_grad():
                references = self.modules["projection"](keys, positions)
        losses = [
            patch_nce(at_least_float32(q), at_least_float32(k))
            for q, k in zip(projected, references, strict=True)
        ]
        return torch.stack(losses).mean()

    def _draw_positions(self, maps: Tensor) -> Tensor:
        """Return up to `NUM_PATCHES` different indices into the positions of [B,C,H,W]."""
        return torch.randperm(maps.shape[2] * maps.shape[3], device=maps.device)[:NUM_PATCHES]


def patch_nce(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the mean cross-entropy of finding each query's key among the keys of its picture.

    Args:
        queries: unit vectors [B,P,C].
        keys: unit vectors [B,P,C], those at the same places belonging together.
    """
    similarities = queries @ keys.transpose(1, 2)
    own = torch.eye(similarities.shape[1], dtype=torch.bool, device=queries.device)
    positive = similarities.diagonal(dim1=1, dim2=2).unsqueeze(2)
    logits = torch.cat([positive, similarities.masked_fill(own, _OWN_LOGIT)], dim=2) / TEMPERATURE
    classes = torch.zeros(logits.shape[:2], dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits.flatten(0, 1), classes.flatten())
