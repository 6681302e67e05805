"""Blending of a harmonized picture with its composite: how much changes, and how soft its edge is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from charmnet.arrays import Float32Array, MaskArray, UInt8Array

MAX_FEATHER = 1_000.0
"""Widest soft edge, in pixels of the picture on each side of the mask's edge."""

_STRIP_ROWS = 64  # blended at once: bounds the memory for large pictures


@dataclass(frozen=True)
class Adjustment:
    """What a user chooses about a result.

    Attributes:
        background: let the background change as the network changed it; otherwise its pixels stay.
        strength: share of the change that is made, 0 (the composite) to 1 (as the network changed it).
        feather: distance on each side of the mask's edge, in pixels of the picture, over which the change
            fades out; 0 is a hard edge.

    Raises:
        ValueError: strength or feather is out of its range.
    """

    background: bool = False
    strength: float = 1.0
    feather: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is {self.strength:g}, expected 0 (no change) to 1 (all of it)")
        if not 0 <= self.feather <= MAX_FEATHER:
            raise ValueError(f"feather is {self.feather:g}, expected 0 to {MAX_FEATHER:g} pixels")


def with_strength(composite: UInt8Array, harmonized: UInt8Array, strength: float) -> UInt8Array:
    """Return a share of the change from composite to result.

    Args:
        composite: [H,W,3] uint8.
        harmonized: [H,W,3] uint8, the result of full strength; returned itself where strength is 1.
        strength: 0 to 1.
    """
    if strength == 1:
        return harmonized
    mixed = cv2.addWeighted(harmonized, strength, composite, 1 - strength, 0)
    return np.asarray(mixed, np.uint8)


def edge_weights(foreground_mask: MaskArray, feather: float) -> Float32Array:
    """Return the share of the foreground's change at each pixel: 1 within, 0 beyond, 1/2 at the mask's edge.

    Args:
        foreground_mask: [H,W] uint8, 1 = foreground.
        feather: distance from the edge, in pixels, at which the share is 1 within and 0 beyond; above 0.

    Returns:
        [H,W] float32 in 0..1; linear in the distance from the mask's edge.
    """
    # Distances are to pixels' centres: a pixel beside the edge is half a pixel away from it.
    within = cv2.distanceTransform(foreground_mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    beyond = cv2.distanceTransform(1 - foreground_mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    signed = np.maximum(within - 0.5, 0) - np.maximum(beyond - 0.5, 0)
    return np.asarray((signed / (2 * feather) + 0.5).clip(0, 1), np.float32)


def blend(outside: UInt8Array, inside: UInt8Array, weights: Float32Array) -> UInt8Array:
    """Return `outside` where the weight is 0, `inside` where it is 1, rounded mixtures between.

    Args:
        outside: [H,W,3] uint8.
        inside: [H,W,3] uint8.
        weights: [H,W] float32 in 0..1.
    """
    blended = np.empty_like(outside)
    for top in range(0, len(outside), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        below = outside[strip].astype(np.float32)
        mixed = below + (inside[strip] - below) * weights[strip, :, None]
        blended[strip] = np.rint(mixed)
    return blended
