"""Transfer of a small copy's colour change to the full picture, which keeps the full picture's detail.

The network sees a picture of 256x256 and gives one back; enlarging that would lose every detail. Only its
change of colour is wanted. So a colour transformation is fitted around every small pixel (change = A colour
+ b, by ridge regression over a window, within the region alone), and its coefficients, which vary slowly,
are enlarged and applied to the full picture's own pixels. This is the guided filter (He, Sun and Tang, TPAMI
2013) with the composite as guide and the change as input, fitted at a lower resolution as the fast guided
filter is (He and Sun, 2015). Guide and change are smoothed before the fit: a network's output is a little
blurred, and that loss of contrast is no change of colour.
"""

from __future__ import annotations

import cv2
import numpy as np

from charmnet.arrays import FloatArray, MaskArray, UInt8Array

SMOOTHING_SIGMA = 3.0
"""Standard deviation of the Gaussian before the fit, in pixels of the small picture."""

WINDOW_RADIUS = 12
"""Radius of the windows that a transformation is fitted over, in pixels of the small picture."""

RIDGE = 1e-3
"""Variance (on the scale 0-1) below which a window's colours are too alike to fit more than a shift."""

_CELL = 2  # pixels of the small picture on a side that are fitted as one
_RIM = 40  # pixels of the small picture: as far as a Gaussian of four sigma and two windows reach
_STRIP_ROWS = 32  # applied at once: bounds the memory for large pictures, and stays in the cache


def transfer_color_change(
    picture: UInt8Array,
    region: MaskArray,
    small_picture: UInt8Array,
    small_changed: FloatArray,
    small_region: MaskArray,
) -> UInt8Array:
    """Apply the small copy's change of colour inside a region of the picture; pixels outside stay.

    Args:
        picture: [H,W,3] uint8, any size.
        region: [H,W] uint8, 1 where the picture is to change.
        small_picture: [S,S,3] uint8, the picture as the network saw it; S is even.
        small_changed: [S,S,3] float, the network's output on the scale 0-255, not rounded.
        small_region: [S,S] uint8, the region as the network saw it.

    Returns:
        [H,W,3] uint8, a new array.

    Raises:
        ValueError: the small region is empty, so that there is nothing to learn the change from.
    """
    if not small_region.any():
        raise ValueError("nothing of the region is left in the small picture")
    if not region.any():
        return picture.copy()
    return apply_color_maps(picture, region, _coefficients(small_picture, small_changed, small_region))


def apply_color_maps(picture: UInt8Array, region: MaskArray, coefficients: FloatArray) -> UInt8Array:
    """Change the colours inside a region by maps that are enlarged bilinearly; pixels outside stay.

    Args:
        picture: [H,W,3] uint8, any size.
        region: [H,W] uint8, 1 where the picture is to change.
        coefficients: [h,w,12]: for each channel of the change, three slopes and a shift, for colours in 0..1.

    Returns:
        [H,W,3] uint8, a new array.
    """
    changed = picture.copy()
    if not region.any():
        return changed
    rows, columns = _bounds(region)
    wide = np.ascontiguousarray(_widen(coefficients, picture.shape[1])[:, columns].transpose(2, 0, 1))
    for top in range(rows.start, rows.stop, _STRIP_ROWS):
        strip = slice(top, min(top + _STRIP_ROWS, rows.stop)), columns
        result = _apply(wide, strip[0], len(picture), picture[strip])
        np.copyto(changed[strip], result, where=region[strip][..., None] != 0)
    return changed


def _bounds(region: MaskArray, rim: int = 0) -> tuple[slice, slice]:
    """Return the rows and columns that a region lies in, widened by a rim, if any, to whole cells."""
    bounds = []
    for axis in (1, 0):
        (lines,) = np.nonzero(region.any(axis=axis))
        start, stop = max(0, lines[0] - rim), min(region.shape[1 - axis], lines[-1] + 1 + rim)
        bounds.append(slice(start - start % _CELL, stop + stop % _CELL) if rim else slice(start, stop))
    return bounds[0], bounds[1]


def _coefficients(picture: UInt8Array, changed: FloatArray, region: MaskArray) -> FloatArray:
    """Return the coefficients of `apply_color_maps` for every cell, [S/2,S/2,12].

    Beyond the region and a rim nothing is fitted. All means are over the region alone. The rim is for thin
    parts of the region that the small picture has lost.
    """
    near = _bounds(region, _RIM)
    weight = region[near].astype(np.float32)
    guide = picture[near].astype(np.float32) / 255
    change = changed[near].astype(np.float32) / 255 - guide
    cells = _in_cells(weight)
    count = np.maximum(_smooth(cells), 1e-9)[..., None]
    guide, change = (
        (_smooth(_in_cells(values * weight[..., None])) / count).transpose(2, 0, 1)
        for values in (guide, change)
    )
    coefficients = np.zeros((*(side // _CELL for side in region.shape), 12), np.float32)
    inner = tuple(slice(lines.start // _CELL, lines.stop // _CELL) for lines in near)
    coefficients[inner] = _fit(np.ascontiguousarray(guide), np.ascontiguousarray(change), cells)
    return coefficients


def _in_cells(values: FloatArray) -> FloatArray:
    """Return the mean of each cell."""
    size = values.shape[1] // _CELL, values.shape[0] // _CELL
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _smooth(values: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), SMOOTHING_SIGMA / _CELL), np.float32)


def _fit(guide: FloatArray, change: FloatArray, weight: FloatArray) -> FloatArray:
    """Return [H,W,12] coefficients from [3,H,W] guide and change, averaged over the windows that hold a cell.

    Inside this function channels come first: NumPy is slow where the last axis is short.
    """
    count = np.maximum(_box(weight), 1e-9)

    def mean(values: FloatArray) -> FloatArray:
        return np.stack([_box(plane) / count for plane in values * weight])

    mean_guide, mean_change = mean(guide), mean(change)
    rows, columns = np.triu_indices(3)
    variance = mean(guide[rows] * guide[columns]) - mean_guide[rows] * mean_guide[columns]
    products = (guide[:, None] * change).reshape(9, *weight.shape)
    covariance = mean(products).reshape(3, 3, *weight.shape) - mean_guide[:, None] * mean_change
    variance[rows == columns] += RIDGE
    slopes = _solve(variance, covariance)
    shifts = mean_change - (mean_guide[:, None] * slopes).sum(axis=0)
    both = np.concatenate([slopes, shifts[None]])  # [3 of the guide and 1,3 of the change,H,W]
    return mean(both.swapaxes(0, 1).reshape(12, *weight.shape)).transpose(1, 2, 0)


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solve `matrix X = right` at every cell, by the adjugate.

    Args:
        matrix: [6,H,W], the upper triangle of a symmetric positive definite matrix, row by row.
        right: [3,3,H,W].

    Returns:
        X, [3,3,H,W].
    """
    a, b, c, d, e, f = matrix
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    adjugate = np.stack(
        [
            [first, second, third],
            [second, a * f - c * c, b * c - a * e],
            [third, b * c - a * e, a * d - b * b],
        ]
    )
    determinant = a * first + b * second + c * third
    solution: FloatArray = (adjugate[:, :, None] * right[None]).sum(axis=1) / determinant
    return solution


def _box(values: FloatArray) -> FloatArray:
    side = 2 * WINDOW_RADIUS // _CELL + 1
    total = cv2.boxFilter(values, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total, np.float32)


def _widen(coefficients: FloatArray, width: int) -> FloatArray:
    size = width, len(coefficients)
    return np.asarray(cv2.resize(coefficients, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _apply(wide: FloatArray, rows: slice, height: int, pixels: UInt8Array) -> UInt8Array:
    """Change a strip of the picture.

    Planes are worked on one by one: NumPy is slow where the last axis is short.

    Args:
        wide: [12,h,W], the coefficients, which have the picture's columns already.
        rows: rows of the strip.
        height: rows of the picture.
        pixels: [R,W,3], the strip.
    """
    position = (np.arange(rows.start, rows.stop) + 0.5) * wide.shape[1] / height - 0.5
    position = position.clip(0, wide.shape[1] - 1)
    above = position.astype(int)
    below = np.minimum(above + 1, wide.shape[1] - 1)
    weight = (position - above).astype(np.float32)[:, None]
    planes = cv2.split(pixels.astype(np.float32))
    factors = [*planes, np.float32(255)]
    changed = []
    for plane, coefficients in zip(planes, wide.reshape(3, 4, *wide.shape[1:]), strict=True):
        total = plane.copy()
        for factor, coefficient in zip(factors, coefficients, strict=True):
            low, high = coefficient[above], coefficient[below]
            high -= low
            high *= weight
            low += high
            low *= factor
            total += low
        changed.append(total)
    result: UInt8Array = np.rint(cv2.merge(changed)).clip(0, 255).astype(np.uint8)
    return result
