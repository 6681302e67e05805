"""Harmonization of pictures of any size with a network that works at one size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from charmnet.arrays import Float32Array, MaskArray, UInt8Array
from charmnet.augment import TRAINING_SIZE, resize, resize_mask
from charmnet.blending import Adjustment, blend, edge_weights, with_strength
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
    *,
    strength: float = 1.0,
    feather: float = 0.0,
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
        strength: share of the change, 0 to 1; `blending.with_strength` of the result at 1 gives the same.
        feather: pixels on each side of the mask's edge over which the change fades out; beyond them the
            background's pixels stay.

    Returns:
        [H,W,3] uint8 RGB.

    Raises:
        DataError: sizes differ, or the foreground vanishes, see `foreground_vanishes`.
        WeightsError: the network's output holds NaN or infinite values.
        ValueError: strength or feather is out of its range.
    """
    Adjustment(background, strength, feather)  # checks the ranges
    _require_foreground(method, composite, foreground_mask)
    weights = edge_weights(foreground_mask, feather) if feather else None
    region = foreground_mask if weights is None else (weights > 0).view(np.uint8)
    if (maps := _color_maps(method, composite, foreground_mask, device)) is not None:
        changed, around = apply_color_maps(composite, region, maps), composite
    else:
        changed, around = _transferred(method, composite, foreground_mask, region, background, device)
    if weights is not None:
        changed = blend(around, changed, weights)
    elif around is not composite:
        changed = np.where(foreground_mask[..., None] != 0, changed, around)
    return with_strength(composite, changed, strength)


def _require_foreground(
    method: HarmonizationMethod, composite: UInt8Array, foreground_mask: MaskArray
) -> None:
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


def _transferred(
    method: HarmonizationMethod,
    composite: UInt8Array,
    foreground_mask: MaskArray,
    region: MaskArray,
    background: bool,
    device: torch.device | str,
) -> tuple[UInt8Array, UInt8Array]:
    """Return the picture changed as the foreground is, in a region, and changed as the background is."""
    small, small_mask = resize(composite), resize(foreground_mask)
    network_mask = resize_mask(foreground_mask, edges=method.requirements.mask_edges)
    small_harmonized = _network(method, small, network_mask, device)
    changed = transfer_color_change(composite, region, small, small_harmonized, small_mask)
    if not background or small_mask.all():
        return changed, composite
    outside = np.ones_like(region) if region is not foreground_mask else 1 - foreground_mask
    around = transfer_color_change(composite, outside, small, small_harmonized, 1 - small_mask)
    return changed, around


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
