"""Methods that translate pictures of one domain into the other, learnt without pairs."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from charmnet.batch import denormalize, image_from_uint8
from charmnet.methods.base import Method, evaluating
from charmnet.vocabulary import Domain


class TranslationMethod(Method):
    """A method whose networks translate whole pictures from `source` to the other domain.

    It trains on the ground truths of both domains, which are no pairs.
    """

    source: ClassVar[Domain] = Domain.RENDERED

    @abstractmethod
    def infer(self, image: Tensor) -> Tensor:
        """Return the translation of [B,3,H,W] in the method's value range, alike; without gradients."""

    @torch.no_grad()
    def translate(self, image: Tensor) -> Tensor:
        """Return pictures of the `source` domain as pictures of the other.

        Args:
            image: [B,3,H,W] in the method's value range.

        Returns:
            [B,3,H,W] in the method's value range.
        """
        with evaluating(self.modules.values()):
            return self.infer(image)

    def network_inputs(self, image: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Return [B,H,W,3] uint8 RGB as `translate` takes it."""
        return image_from_uint8(image, device, self.requirements.value_range)

    def to_unit_range(self, image: Tensor) -> Tensor:
        """Return [B,3,H,W] float32 in 0..1 (not clipped) of pictures in the method's value range."""
        return denormalize(image.float(), self.requirements.value_range)
