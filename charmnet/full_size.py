"""Harmonization of pictures of any size with a network that works at one size."""

from __future__ import annotations

import torch
from torch import Tensor

from charmnet.arrays import Float32Array, MaskArray, UInt8Array
from charmnet.augment import TRAINING_SIZE, resize, resize_mask
from charmnet.color_transfer import apply_color_maps, transfer_color_change
from charmnet.errors import DataError, WeightsError
from charmnet.methods import HarmonizationMethod
from charmnet.networks.color_maps import maps_of_unit_range


def harmonize_full_size(
    method: HarmonizationMethod,
    composite: UInt8Array,
    foreground_mask: MaskArray,
    background: bool = False,
    device: torch.device | str = "cpu",
) -> UInt8Array:
    """Harmonize a picture at its own size.

    Colour maps are applied to its pixels; where a method has none, `color_transfer` carries the network's
    result over.

    Args:
        method: the model, in any state of training.
        composite: [H,W,3] uint8 RGB, any size.
        foreground_mask: [H,W] uint8, 1 = foreground.
        background: let the background change as the network changed it; otherwise its pixels stay, as they
            always do with colour maps.
        device: the device of the method's networks.

    Returns:
        [H,W,3] uint8 RGB.

    Raises:
        DataError: sizes differ, or the foreground vanishes, see `foreground_vanishes`.
        WeightsError: the network's output holds NaN or infinite values.
    """
    if composite.shape[:2] != foreground_mask.shape:
        raise DataError(
            f"(height, width) of the picture is {composite.shape[:2]}, of its mask {foreground_mask.shape}; "
            "expected the same"
        )
    if not foreground_mask.any():
        raise DataError("the mask has no foreground: no pixel of 128 or above")
    if foreground_vanishes(method, foreground_mask):
        size = method.size if method.has_color_maps else TRAINING_SIZE
        raise DataError(
            f"a foreground of {int(foreground_mask.sum()):,} pixels, of which none is left at "
            f"{size}x{size}; crop the picture closer to its foreground"
        )
    if (maps := _color_maps(method, composite, foreground_mask, device)) is not None:
        return apply_color_maps(composite, foreground_mask, maps)
    small, small_mask = resize(composite), resize(foreground_mask)
    network_mask = resize_mask(foreground_mask, edges=method.requirements.mask_edges)
    small_harmonized = _network(method, small, network_mask, device)
    harmonized = transfer_color_change(composite, foreground_mask, small, small_harmonized, small_mask)
    if background and not small_mask.all():
        outside, small_outside = 1 - foreground_mask, 1 - small_mask
        harmonized = transfer_color_change(harmonized, outside, small, small_harmonized, small_outside)
    return harmonized


def foreground_vanishes(method: HarmonizationMethod, foreground_mask: MaskArray) -> bool:
    """Return whether nothing of a foreground is left at the network's size.

    For colour maps a covered share of a pixel is enough: they are applied to the whole of a thin foreground.

    Args:
        method: the model.
        foreground_mask: [H,W] uint8, 1 = foreground.
    """
    if method.has_color_maps:
        return not resize_mask(foreground_mask, method.size, method.requirements.mask_edges).any()
    return not resize(foreground_mask).any()


def _color_maps(
    method: HarmonizationMethod, composite: UInt8Array, foreground_mask: MaskArray, device: torch.device | str
) -> Float32Array | None:
    """Return the method's maps of the change for colours in 0..1, [h,w,12], or None if it has none."""
    if not method.has_color_maps:
        return None
    size = method.size
    pixels = torch.from_numpy(resize(composite, size))[None]
    mask = torch.from_numpy(resize_mask(foreground_mask, size, method.requirements.mask_edges))[None]
    maps = method.color_maps(*method.network_inputs(pixels, mask, device))
    _require_finite(maps)
    return maps_of_unit_range(maps)[0].permute(1, 2, 0).cpu().numpy()


def _require_finite(output: Tensor) -> None:
    if not output.isfinite().all():
        raise WeightsError(
            "the model's output holds NaN or infinite values: its weights are damaged, or its training "
            "diverged; choose another checkpoint"
        )


def _network(
    method: HarmonizationMethod, composite: UInt8Array, foreground_mask: MaskArray, device: torch.device | str
) -> Float32Array:
    """Return the network's output, [S,S,3] float32 on the scale 0-255, neither rounded nor clipped."""
    pixels, mask = (torch.from_numpy(array)[None] for array in (composite, foreground_mask))
    output = method.harmonize(*method.network_inputs(pixels, mask, device))
    _require_finite(output)
    return method.to_unit_range(output)[0].mul(255).permute(1, 2, 0).cpu().numpy()
