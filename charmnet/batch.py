"""Batches of one domain in the form that the networks take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from charmnet.vocabulary import NUM_CONDITIONS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

ValueRange = Literal["imagenet", "unit", "symmetric"]
"""Numbers that pictures are given to networks in: ImageNet-normalised, 0..1 or -1..1."""


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Return [1,3,1,1] values, built on the device: a host-to-device copy would synchronize."""
    filled = [torch.full((), value, dtype=like.dtype, device=like.device) for value in values]
    return torch.stack(filled).view(1, 3, 1, 1)


def normalize(image: Tensor, value_range: ValueRange = "imagenet") -> Tensor:
    """Return [B,3,H,W] in 0..1 in another value range."""
    if value_range == "unit":
        return image
    if value_range == "symmetric":
        return image * 2 - 1
    return (image - _channels(IMAGENET_MEAN, image)).div_(_channels(IMAGENET_STD, image))


def denormalize(image: Tensor, value_range: ValueRange = "imagenet") -> Tensor:
    """Return [B,3,H,W] of a value range in 0..1 (not clipped)."""
    if value_range == "unit":
        return image
    if value_range == "symmetric":
        return (image + 1) / 2
    return image * _channels(IMAGENET_STD, image) + _channels(IMAGENET_MEAN, image)


def _check_classes(ground_truth_style: Tensor | None) -> None:
    """Refuse labels that are no classes; values are read on the CPU only, as a device would synchronize."""
    if ground_truth_style is None:
        return
    if ground_truth_style.is_floating_point():
        raise ValueError(f"ground_truth_style is {ground_truth_style.dtype}, expected integers")
    if ground_truth_style.device.type == "cpu" and len(ground_truth_style):
        least, most = ground_truth_style.min().item(), ground_truth_style.max().item()
        if not 0 <= least <= most < NUM_CONDITIONS:
            raise ValueError(
                f"ground_truth_style holds classes {least} to {most}, expected 0 to {NUM_CONDITIONS - 1}"
            )


def _moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Move a tensor to a device; to a GPU from pinned memory, without waiting for the copy."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def image_from_uint8(
    pixels: Tensor, device: torch.device | str = "cpu", value_range: ValueRange = "imagenet"
) -> Tensor:
    """Return [B,H,W,3] uint8 RGB as [B,3,H,W] float32 in a value range, on a device."""
    return normalize(_moved(pixels, device).permute(0, 3, 1, 2).float().div_(255.0), value_range)


def mask_from_uint8(mask: Tensor, device: torch.device | str = "cpu", *, soft_mask: bool = False) -> Tensor:
    """Convert a [B,H,W] uint8 mask to [B,1,H,W] float32 in 0..1 on a device.

    Args:
        mask: 1 = foreground, 0 = background; coverage 0 to 255 where `soft_mask` is set.
        device: where the mask is to be.
        soft_mask: whether the mask holds coverage.
    """
    values = _moved(mask, device).unsqueeze(1).float()
    return values.div_(255.0) if soft_mask else values


@dataclass(frozen=True)
class HarmonizationBatch:
    """Composites with their ground truths.

    Attributes:
        composite: [B,3,H,W] ImageNet-normalised.
        ground_truth: [B,3,H,W] ImageNet-normalised.
        foreground_mask: [B,1,H,W], 1 = foreground, 0 = background; in between where its edges are soft.
        composite_style: [B,10] probabilities of the capture conditions in the composite (SC1's target);
            rendered domain only.
        ground_truth_style: [B] integer class 0-9 of the ground truth (SC2's target); rendered domain only.
    """

    composite: Tensor
    ground_truth: Tensor
    foreground_mask: Tensor
    composite_style: Tensor | None = None
    ground_truth_style: Tensor | None = None

    def __post_init__(self) -> None:
        b, _, h, w = self.composite.shape
        expected = {
            "composite": (b, 3, h, w),
            "ground_truth": (b, 3, h, w),
            "foreground_mask": (b, 1, h, w),
            "composite_style": (b, NUM_CONDITIONS),
            "ground_truth_style": (b,),
        }
        for name, shape in expected.items():
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
        _check_classes(self.ground_truth_style)

    def __len__(self) -> int:
        return self.composite.shape[0]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> HarmonizationBatch:
        """Return the batch on a device, its floating tensors in a dtype."""
        return self.map(lambda tensor: tensor.to(device, dtype if tensor.is_floating_point() else None))

    def map(self, change: Callable[[Tensor], Tensor]) -> HarmonizationBatch:
        """Return the batch with `change` applied to each of its tensors."""
        return replace(self, **{name: change(tensor) for name, tensor in self.tensors().items()})

    def sliced(self, start: int, stop: int) -> HarmonizationBatch:
        """Return the samples from `start` up to `stop`, as views."""
        return self.map(lambda tensor: tensor[start:stop])

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that are not None, by name, always in the same order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_uint8(  # noqa: PLR0913 - the arrays of a block by name
        cls,
        composite: Tensor,
        ground_truth: Tensor,
        foreground_mask: Tensor,
        composite_style: Tensor | None = None,
        ground_truth_style: Tensor | None = None,
        device: torch.device | str = "cpu",
        *,
        value_range: ValueRange = "imagenet",
        soft_mask: bool = False,
    ) -> HarmonizationBatch:
        """Convert the arrays that a worker receives to floats on its device.

        Args:
            composite: [B,H,W,3] uint8 RGB.
            ground_truth: [B,H,W,3] uint8 RGB.
            foreground_mask: [B,H,W] uint8, 1 = foreground; coverage 0 to 255 where `soft_mask` is set.
            composite_style: [B,10] float32 or None.
            ground_truth_style: [B] integers 0-9 or None.
            device: where the batch is to be.
            soft_mask: whether the mask holds coverage.
            value_range: numbers that pictures are given in.

        Raises:
            ValueError: shapes do not fit each other, or a class is not one of 0-9.
        """
        _check_classes(ground_truth_style)

        return cls(
            image_from_uint8(composite, device, value_range),
            image_from_uint8(ground_truth, device, value_range),
            mask_from_uint8(foreground_mask, device, soft_mask=soft_mask),
            None if composite_style is None else _moved(composite_style, device).float(),
            None if ground_truth_style is None else _moved(ground_truth_style, device).long(),
        )
