"""Methods that harmonize: composite and foreground mask to a harmonized picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch, denormalize, image_from_uint8, mask_from_uint8
from charmnet.errors import WeightsError
from charmnet.losses import MIN_FOREGROUND_AREA, foreground_normalized_mse
from charmnet.methods.base import Method, MethodOptions, evaluating
from charmnet.networks.blocks import INITIALIZERS, INPUT_SIZE, depth_of
from charmnet.networks.charmnet import CharmNet, Head, check_shape
from charmnet.options import Flag


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

    @property
    def pastes_itself(self) -> bool:
        """Whether the networks take the background from the composite, so that there is no other output."""
        return False

    @property
    def has_color_maps(self) -> bool:
        """Whether `color_maps` harmonizes, in pictures of any size."""
        return False

    def infer_color_maps(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """Return `color_maps`; called in evaluation mode without gradients, where `has_color_maps`."""
        raise NotImplementedError

    @torch.no_grad()
    def color_maps(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """Return the maps [B,12,h,w] of the change, see `networks.color_maps.apply_color_maps`.

        Args:
            composite: [B,3,S,S] in the method's value range; S is the method's `size`.
            foreground_mask: [B,1,S,S] in 0..1, 1 = foreground.
        """
        with evaluating(self.inference_modules()):
            return self.infer_color_maps(composite, foreground_mask)

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


class GeneratorOptions(MethodOptions):
    """Options of CharmNet's generator, and of its real path alone."""

    width: int = Field(64, ge=4, multiple_of=4)
    """Channels of the first layers (the released ngf and ndf), a multiple of 4."""
    head: Head = "pixels"
    """End of the decoders: new colours and attention for each pixel (released), or affine: colour maps, which
    start at the identity and are applied to pictures of any size."""
    size: int = INPUT_SIZE
    """Height and width that the networks work at, in pixels: 256; with head=affine 96, 128, 192, 384 or 512,
    too, with fewer or more layers."""
    initialization: Literal["normal", "xavier", "kaiming"] = "normal"
    """Distribution of the initial convolutions: normal N(0, 0.02) as CharmNet was released, xavier as iDIH
    was, kaiming after He."""
    region_statistics: Flag = True
    """With head=affine, tell the decoders the colours' means and deviations in foreground and background."""
    paste: Flag = False
    """Take the background from the composite, in losses and results; with head=affine it always is."""
    attention_bias: float = 0.0
    """With head=pixels, bias of the attention heads at the start (released: 0; with CharmNet's initial heads
    1 starts near the identity, with iDIH's it does not)."""
    identity_start: Flag = False
    """With head=pixels, start at the identity, which head=affine always does."""

    @property
    def default_unshared_layers(self) -> int:
        """Layers of a domain's own encoder: 4 as released, fewer where the network has fewer layers."""
        return min(4, depth_of(self.size) - 2)

    @property
    def own_layers(self) -> int:
        """Layers of a domain's own encoder: `unshared_layers` where that is an option."""
        return getattr(self, "unshared_layers", self.default_unshared_layers)

    @model_validator(mode="after")
    def _check_shape(self) -> GeneratorOptions:
        check_shape(self.width, self.own_layers, self.head, self.size)
        if self.identity_start and self.attention_bias:
            raise ValueError(
                f"identity_start=true with attention_bias={self.attention_bias:g}: leave out one, the "
                "first sets its own bias"
            )
        return self

    def generator_arguments(self) -> dict[str, Any]:
        """Return the arguments of `CharmNet` that these options stand for."""
        return {
            "width": self.width,
            "attention_bias": self.attention_bias,
            "initialize": INITIALIZERS[self.initialization],
            "head": self.head,
            "size": self.size,
            "paste": self.paste,
            "region_statistics": self.region_statistics,
            "identity_start": self.identity_start,
        }


class GeneratorMethod(HarmonizationMethod):
    """A method whose `modules["generator"]`, CharmNet's generator or its real path alone, harmonizes."""

    options: GeneratorOptions

    def __init__(self, *, seed: int | None = None, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        if self.options.head == "affine":  # small pictures have many pixels that are foreground in part
            self.requirements = replace(self.requirements, mask_edges="soft")

    @property
    def size(self) -> int:
        """Height and width of the pictures that it is trained on, in pixels."""
        return self.options.size

    def reconstruction_losses(self, harmonized: Tensor, batch: HarmonizationBatch) -> Tensor:
        """Return the foreground-normalised MSE of each of a batch's pictures, [B]."""
        least_area = MIN_FOREGROUND_AREA * (self.size / INPUT_SIZE) ** 2
        return foreground_normalized_mse(harmonized, batch.ground_truth, batch.foreground_mask, least_area)

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

    @property
    def pastes_itself(self) -> bool:
        """Whether the head is affine, or the option paste is on."""
        return self.has_color_maps or self.options.paste

    @property
    def has_color_maps(self) -> bool:
        """Whether the head is affine."""
        return self.options.head == "affine"

    def infer_color_maps(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        """Return the real path's maps."""
        maps: Tensor | None = self.generator(composite, foreground_mask).color_maps
        assert maps is not None
        return maps

    def require_same_generator(self, source: GeneratorMethod) -> None:
        """Check that weights of another method's generator fit, but for the names of layers.

        Raises:
            WeightsError: they do not; names the options that would.
        """
        own, theirs = self.options, source.options
        needed = {"head": theirs.head, "size": theirs.size}
        if own.head == "affine":  # whose layers depend on where the cells are
            needed["unshared_layers"] = theirs.own_layers
        have = {"head": own.head, "size": own.size, "unshared_layers": own.own_layers}
        different = ", ".join(f"{name}={value}" for name, value in needed.items() if have[name] != value)
        if different:
            raise WeightsError(f"{self.name} starts from this {source.name} with {different} alone")

    def require_released_head(self) -> None:
        """Check that the networks have a released layout.

        Raises:
            WeightsError: they have not.
        """
        if self.options.head != "pixels":
            raise WeightsError(f"no released layout holds head={self.options.head}, only head=pixels")
