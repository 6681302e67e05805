"""Structural similarity of two pictures (Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 2004).

Means, variances and covariance are over an 11x11 Gaussian window (standard deviation 1.5) around each pixel,
each channel by itself; the index is the mean over the channels and over the windows that lie in the picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from charmnet.arrays import Float32Array, UInt8Array

WINDOW = 11
"""Side of the window in pixels."""

SIGMA = 1.5
"""Standard deviation of the window's weights in pixels."""

_RADIUS = WINDOW // 2
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_MIDDLE = 128.0  # float32 loses less of the variances of numbers around 0
_STRIP_ROWS = 128  # at once: bounds the memory of large pictures


def structural_similarity(image: UInt8Array, other: UInt8Array) -> float | None:
    """Return the index, at most 1, of two [H,W,3] uint8 pictures; None where a side is below 11 pixels."""
    height, width, channels = image.shape
    if min(height, width) < WINDOW:
        return None
    total = 0.0
    for top in range(0, height - WINDOW + 1, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS + WINDOW - 1, height))
        total += float(_index_map(image[rows], other[rows]).sum(dtype=np.float64))
    windows = (height - WINDOW + 1) * (width - WINDOW + 1)
    return float(total / (windows * channels))


def _index_map(image: UInt8Array, other: UInt8Array) -> Float32Array:
    """Return [H-10,W-10,3]: the index of each window."""
    x, y = (np.subtract(picture, _MIDDLE, dtype=np.float32) for picture in (image, other))
    mean_x, mean_y = _windowed(x), _windowed(y)
    variances = _windowed(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = _windowed(x * y) - mean_x * mean_y
    mean_x += _MIDDLE
    mean_y += _MIDDLE
    index: Float32Array = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x * mean_x + mean_y * mean_y + _C1) * (variances + _C2)
    )
    return index


def _windowed(values: Float32Array) -> Float32Array:
    blurred = cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA)
    return np.asarray(blurred, np.float32)[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
