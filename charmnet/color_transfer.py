"""Carrying a colour change found on a small copy over to the full picture, without carrying over its blur.

The network sees a picture of 256x256 and gives one back; enlarging that would lose every detail. What is
wanted of it is the change of colour. So a colour transformation is fitted around every small pixel (change
= A colour + b, by ridge regression over a window, within the region alone), and its coefficients, which
vary slowly, are enlarged and applied to the full picture's own pixels. This is the guided filter (He, Sun
and Tang, TPAMI 2013; made fast by He and Sun, 2015) with the composite as guide and the change as input.
Both are smoothed before the fit: a network's output is a little blurred, and that loss of contrast is no
change of colour.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from charmnet.images import UInt8Array

SMOOTHING_SIGMA = 3.0
"""Of the Gaussian before the fit, in pixels of the small picture."""

WINDOW_RADIUS = 12
"""Of the windows that a transformation is fitted over, in pixels of the small picture."""

RIDGE = 1e-3
"""Where a window's colours have a variance (on the scale 0-1) below it, the change tends to a mere shift."""

_RIM = 40  # pixels of the small picture: as far as a Gaussian of four sigma and two windows reach
_STRIP_ROWS = 256  # applied at once: bounds the memory for large pictures

FloatArray = npt.NDArray[np.floating]


def transfer_color_change(
    picture: UInt8Array,
    region: UInt8Array,
    small_picture: UInt8Array,
    small_changed: FloatArray,
    small_region: UInt8Array,
) -> UInt8Array:
    """The picture with the small copy's change of colour inside a region; outside, its pixels as they are.

    Args:
        picture: [H,W,3] uint8, any size.
        region: [H,W] uint8, 1 where the picture is to change.
        small_picture: [S,S,3] uint8, the picture as the network saw it.
        small_changed: [S,S,3] what the network made of it, on the scale 0-255, not rounded.
        small_region: [S,S] uint8, the region as the network saw it.

    Raises:
        ValueError: the small region is empty, so that there is nothing to learn the change from.
    """
    if not small_region.any():
        raise ValueError("nothing of the region is left in the small picture")
    near = _around(small_region)
    guide = small_picture[near].astype(np.float32) / 255
    change = small_changed[near].astype(np.float32) / 255 - guide
    coefficients = np.zeros((3, *small_region.shape, 4), np.float32)
    coefficients[:, *near] = _fit(guide, change, small_region[near].astype(np.float32))
    changed = picture.copy()
    for top in range(0, picture.shape[0], _STRIP_ROWS):
        strip = changed[top : top + _STRIP_ROWS]
        inside = region[top : top + _STRIP_ROWS] != 0
        if inside.any():
            enlarged = [_enlarge(c, top, len(strip), picture.shape[:2]) for c in coefficients]
            strip[inside] = _apply(enlarged, strip, inside)
    return changed


def _around(region: UInt8Array) -> tuple[slice, slice]:
    """The rows and columns that a region is in, with a rim; beyond it nothing is fitted.

    All means are over the region alone. The rim is for thin parts of it that the small picture has lost.
    """
    bounds = []
    for axis in (1, 0):
        (lines,) = np.nonzero(region.any(axis=axis))
        bounds.append(slice(max(0, lines[0] - _RIM), lines[-1] + 1 + _RIM))
    return bounds[0], bounds[1]


def _fit(guide: FloatArray, change: FloatArray, weight: FloatArray) -> FloatArray:
    """[3,S,S,4]: for each channel of the change A's row and b, averaged over the windows that hold a pixel.

    Within, channels come first: NumPy is slow where the last axis is short.
    """
    guide, change = (_smooth(values, weight) for values in (guide, change))
    count = np.maximum(_box(weight), 1e-9)

    def mean(values: FloatArray) -> FloatArray:
        planes = [_box(plane) / count for plane in values.reshape(-1, *weight.shape) * weight]
        return np.stack(planes).reshape(values.shape)

    mean_guide, mean_change = mean(guide), mean(change)
    variance = mean(_outer(guide, guide)) - _outer(mean_guide, mean_guide)
    covariance = mean(_outer(guide, change)) - _outer(mean_guide, mean_change)
    slopes = _solve(variance + RIDGE * np.eye(3, dtype=np.float32)[..., None, None], covariance)
    shifts = mean_change - (mean_guide[:, None] * slopes).sum(axis=0)
    smooth = mean(np.concatenate([slopes, shifts[None]]))  # [3 of the guide and 1,3 of the change,S,S]
    return smooth.transpose(1, 2, 3, 0)


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """X of `matrix X = right`, both [3,3,S,S], for a symmetric positive definite matrix at every pixel."""
    pairs_of_rows = ((1, 2), (2, 0), (0, 1))
    adjugate = np.stack([np.cross(matrix[i], matrix[j], axis=0) for i, j in pairs_of_rows])
    determinant = (matrix[0] * adjugate[0]).sum(axis=0)
    return (adjugate[:, :, None] * right[None]).sum(axis=1) / determinant


def _outer(left: FloatArray, right: FloatArray) -> FloatArray:
    return left[:, None] * right[None]


def _smooth(values: FloatArray, weight: FloatArray) -> FloatArray:
    """[3,S,S]: Gaussian means of [S,S,3] over the region alone."""
    total = cv2.GaussianBlur(values * weight[..., None], (0, 0), SMOOTHING_SIGMA)
    count = cv2.GaussianBlur(weight, (0, 0), SMOOTHING_SIGMA)
    return total.transpose(2, 0, 1) / np.maximum(count, 1e-9)


def _box(values: FloatArray) -> FloatArray:
    side = 2 * WINDOW_RADIUS + 1
    total = cv2.boxFilter(values, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total, np.float32)


def _enlarge(coefficients: FloatArray, top: int, rows: int, size: tuple[int, int]) -> FloatArray:
    """Rows `top` to `top + rows` of the coefficients enlarged to `size`, bilinearly."""
    height, width = size
    small_height = len(coefficients)
    position = ((np.arange(top, top + rows) + 0.5) * small_height / height - 0.5).clip(0, small_height - 1)
    above = position.astype(int)
    below = np.minimum(above + 1, small_height - 1)
    share = (position - above).astype(np.float32)[:, None, None]
    lines = coefficients[above] * (1 - share) + coefficients[below] * share
    return cv2.resize(lines, (width, rows), interpolation=cv2.INTER_LINEAR)


def _apply(coefficients: list[FloatArray], pixels: UInt8Array, inside: npt.NDArray[np.bool_]) -> UInt8Array:
    """[N,3]: the pixels that are inside, changed."""
    colors = pixels[inside].astype(np.float32)
    change = [
        np.einsum("nc,nc->n", c[:, :3], colors) + 255 * c[:, 3] for c in (c[inside] for c in coefficients)
    ]
    return (colors + np.stack(change, axis=-1)).round().clip(0, 255).astype(np.uint8)
