"""Methods that translate pictures of one domain into the other, learnt without pairs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from charmnet.batch import HarmonizationBatch, denormalize, image_from_uint8
from charmnet.methods.base import Method, MethodOptions, Requirements, evaluating, require_batches
from charmnet.methods.released import ReleasedNetworks, count_of, size_of
from charmnet.vocabulary import Domain

DOMAINS = (Domain.RENDERED, Domain.REAL)
"""Both domains, the one that is translated first."""

OTHER = {Domain.RENDERED: Domain.REAL, Domain.REAL: Domain.RENDERED}
"""The other domain of each."""

Pictures = dict[Domain, Tensor]
"""[B,3,H,W] by the domain that they are, or are made to be, of."""

ADAM_BETAS = (0.5, 0.999)
"""Adam's decay rates of the three published translators."""

_MULTIPLE = 4  # of the sides of pictures that the networks take
_LEAST_SIDE = 8  # the features of a quarter of it can be mirrored at their edges


class TranslatorOptions(MethodOptions):
    """Options that the published translators have."""

    learning_rate: float = Field(2e-4, gt=0)
    """Adam's learning rate of all networks, before the schedule's factor."""
    width: int = Field(64, ge=1)
    """Channels of the first layer of generators and discriminators (released: 64)."""
    blocks: int = Field(9, ge=1)
    """Residual blocks of a generator (released: 9)."""
    adversarial_weight: float = Field(1.0, ge=0)
    """Weight of the generators' loss under the discriminators (released: 1)."""


class TranslationMethod(Method):
    """A method whose networks translate whole pictures from `source` to the other domain.

    It trains on the ground truths of both domains, which are no pairs.
    """

    # Of the published ones; none is recorded as a CUDA graph, which their draws were not tried with.
    requirements = Requirements(value_range="symmetric", augmentation="resize_crop", capturable=False)

    source: ClassVar[Domain] = Domain.RENDERED

    @abstractmethod
    def infer(self, image: Tensor) -> Tensor:
        """Return the translation of [B,3,H,W] in the method's value range, alike; without gradients."""

    @torch.no_grad()
    def translate(self, image: Tensor) -> Tensor:
        """Return pictures of the `source` domain as pictures of the other.

        The networks get them repeated at the right and the bottom edge, to sides that they take.

        Args:
            image: [B,3,H,W] in the method's value range, of any size.

        Returns:
            [B,3,H,W] in the method's value range.
        """
        height, width = image.shape[2:]
        bottom, right = (_padded_side(side) - side for side in (height, width))
        padded = F.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image
        with evaluating(self.modules.values()):
            return self.infer(padded)[..., :height, :width]

    def pictures(self, batches: Mapping[Domain, HarmonizationBatch]) -> Pictures:
        """Return the ground truths of both domains; ValueError where a domain is missing."""
        required = require_batches(batches, self.domains, self.requirements.smallest_batch)
        return {domain: required[domain].ground_truth for domain in DOMAINS}

    def network_inputs(self, image: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Return [B,H,W,3] uint8 RGB as `translate` takes it."""
        return image_from_uint8(image, device, self.requirements.value_range)

    def to_unit_range(self, image: Tensor) -> Tensor:
        """Return [B,3,H,W] float32 in 0..1 (not clipped) of pictures in the method's value range."""
        return denormalize(image.float(), self.requirements.value_range)


class ReleasedTranslator(ReleasedNetworks, TranslationMethod):
    """A translator with a released layout of its networks, whose entries are named alike here."""

    released_sizes: ClassVar[tuple[str, str]]
    """Entry of the first network of `released_inference` whose size is the width, and pattern of its
    residual blocks' entries."""

    @classmethod
    def released_options(
        cls, states: Mapping[str, Mapping[str, Tensor]], sources: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return the sizes that the state dict of the first network that is applied tells."""
        name, (width, blocks) = cls.released_inference[0], cls.released_sizes
        return {
            "width": size_of(states[name], width, sources[name]),
            "blocks": count_of(states[name], blocks),
        }


def least_squares(scores: Tensor, value: float) -> Tensor:
    """Return the mean squared distance of a discriminator's scores to a value."""
    return (scores - value).square().mean()


def nearer_to_one(scores: Tensor) -> Tensor:
    """Return whether each score of a least-squares discriminator takes a patch for one of its domain."""
    return scores > 0.5


def _padded_side(side: int) -> int:
    return -(-max(side, _LEAST_SIDE) // _MULTIPLE) * _MULTIPLE
