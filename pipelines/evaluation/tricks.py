"""Corrections of a composite that need no learning: what a model has to beat.

Each moves the foreground's colours `STRENGTH` of the way to the background's. Nothing is fitted on the data:
the strength was fixed beforehand, and each picture's statistics are its own.
"""

from __future__ import annotations

import cv2
import numpy as np

from charmnet.arrays import Float32Array, IndexArray, MaskArray, UInt8Array
from charmnet.recoloring import FLAT_LAB_DEVIATION, monge_kantorovitch_matrix

STRENGTH = 0.2
"""Share of the way from the foreground's statistics to the background's."""

TRICKS = ("mean_shift", "reinhard", "monge_kantorovitch")
"""Names of the tricks.

- mean_shift: the mean of RGB.
- reinhard: mean and standard deviation of each channel of CIE Lab (Reinhard et al., 2001).
- monge_kantorovitch: mean and covariance of RGB, by the linear map that moves colours least (Pitié, 2007).
"""


def apply_tricks(composite: UInt8Array, foreground_mask: MaskArray) -> dict[str, UInt8Array]:
    """Return each trick's picture, [H,W,3] uint8, by its name.

    Without foreground or background that is the composite.

    Args:
        composite: [H,W,3] uint8 RGB.
        foreground_mask: [H,W] uint8, foreground where it is not 0.
    """
    pixels = composite.reshape(-1, 3)
    inside, outside = (np.flatnonzero(mask) for mask in (foreground_mask, foreground_mask == 0))
    if not len(inside) or not len(outside):
        return dict.fromkeys(TRICKS, composite)
    foreground, background = (_colors(pixels, where) for where in (inside, outside))
    (mean, _), (background_mean, _) = map(_mean_and_deviation, (foreground, background))
    moved = {
        "mean_shift": foreground + STRENGTH * (background_mean - mean),
        "reinhard": _reinhard(foreground, background),
        "monge_kantorovitch": _monge_kantorovitch(foreground - mean, background - background_mean)
        + (mean + STRENGTH * (background_mean - mean)),
    }
    pictures = {}
    for name in TRICKS:
        changed = pixels.copy()
        changed[inside] = np.rint(moved[name] * 255).clip(0, 255).astype(np.uint8)
        pictures[name] = changed.reshape(composite.shape)
    return pictures


def _colors(pixels: UInt8Array, indices: IndexArray) -> Float32Array:
    """Return the colours of the chosen pixels, [N,3] float32 on 0-1."""
    colors: Float32Array = pixels.take(indices, axis=0).astype(np.float32) / np.float32(255)
    return colors


def _mean_and_deviation(colors: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the mean [3] and the standard deviation [3]; NumPy's take ten times as long for [N,3]."""
    mean, deviation = cv2.meanStdDev(colors[None])
    return mean[:, 0].astype(np.float32), deviation[:, 0].astype(np.float32)


def _reinhard(foreground: Float32Array, background: Float32Array) -> Float32Array:
    """Return [N,3] RGB that is moved in CIE Lab; a flat channel is shifted alone."""
    lab = _to_lab(foreground)
    (mean, deviation), (background_mean, background_deviation) = map(
        _mean_and_deviation, (lab, _to_lab(background))
    )
    scale = np.where(
        deviation > FLAT_LAB_DEVIATION, background_deviation / np.maximum(deviation, FLAT_LAB_DEVIATION), 1
    )
    slope = 1 + STRENGTH * (scale - 1)
    shift = mean + STRENGTH * (background_mean - mean) - mean * slope
    moved = (lab * slope + shift).astype(np.float32)
    return np.asarray(cv2.cvtColor(moved[None], cv2.COLOR_LAB2RGB)[0], np.float32)


def _to_lab(colors: Float32Array) -> Float32Array:
    return np.asarray(cv2.cvtColor(colors[None], cv2.COLOR_RGB2LAB)[0], np.float32)


def _monge_kantorovitch(foreground: Float32Array, background: Float32Array) -> Float32Array:
    """Return the foreground's [N,3] differences from its mean, mapped; flat directions stay as they are."""
    covariance, background_covariance = (
        (centred.T @ centred).astype(np.float64) / len(centred) for centred in (foreground, background)
    )
    matrix = monge_kantorovitch_matrix(covariance, background_covariance)
    blended = (1 - STRENGTH) * np.eye(3) + STRENGTH * matrix
    mapped: Float32Array = foreground @ blended.T.astype(np.float32)
    return mapped
