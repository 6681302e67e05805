"""Methods that harmonize: composite and foreground mask to a harmonized picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from charmnet.batch import denormalize, image_from_uint8, mask_from_uint8
from charmnet.methods.base import Method, evaluating
from charmnet.networks.charmnet import CharmNet


class HarmonizationMethod(Method):
    """A method whose networks harmonize a composite."""

    @abstractmethod
    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the networks' output and their attention; called in evaluation mode without gradients.

        Args:
            composite: [B,3,H,W] in the method's value range.
            foreground_mask: [B,1,H,W] in 0..1, 1 = foreground.

        Returns:
            [B,3,H,W] in the method's value range, and the [B,1,H,W] share in 0..1 of the composite that is
            kept, or None.
        """

    def inference_modules(self) -> Iterable[nn.Module]:
        """Return the networks that `infer` uses."""
        return self.modules.values()

    @torch.no_grad()
    def harmonize_with_attention(
        self, composite: Tensor, foreground_mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return `infer`'s result in evaluation mode, pasted into the composite if the method pastes."""
        with evaluating(self.inference_modules()):
            harmonized, attention = self.infer(composite, foreground_mask)
        if self.requirements.pastes:
            harmonized = harmonized * foreground_mask + composite * (1 - foreground_mask)
        return harmonized, attention

    def harmonize(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """Return the harmonized pictures.

        Args:
            composite: [B,3,H,W] in the method's value range, ImageNet-normalised unless it says otherwise.
            foreground_mask: [B,1,H,W] in 0..1, 1 = foreground.

        Returns:
            [B,3,H,W] in the method's value range.
        """
        return self.harmonize_with_attention(composite, foreground_mask)[0]

    def network_inputs(
        self, composite: Tensor, foreground_mask: Tensor, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Return composite and mask as `harmonize` takes them.

        Args:
            composite: [B,H,W,3] uint8 RGB.
            foreground_mask: [B,H,W] uint8, 1 = foreground; with soft edges 255 = foreground.
            device: where the networks are.
        """
        return (
            image_from_uint8(composite, device, self.requirements.value_range),
            mask_from_uint8(foreground_mask, device, soft_mask=self.requirements.mask_edges == "soft"),
        )

    def to_unit_range(self, image: Tensor) -> Tensor:
        """Return [B,3,H,W] float32 in 0..1 (not clipped) of pictures in the method's value range."""
        return denormalize(image.float(), self.requirements.value_range)


class GeneratorMethod(HarmonizationMethod):
    """A method whose `modules["generator"]`, CharmNet's generator or its real path alone, harmonizes."""

    @property
    def generator(self) -> CharmNet:
        """The network that harmonizes."""
        return cast(CharmNet, self.modules["generator"])

    def inference_modules(self) -> Iterable[nn.Module]:
        """Return the generator."""
        return (self.generator,)

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the real path's result and attention, whatever `precision` in the parameters' own."""
        result = self.generator(composite, foreground_mask)
        return result.harmonized, result.attention
