"""Composites of the rendered domain: foregrounds exchanged between capture conditions of one scene."""

from __future__ import annotations

import cv2
import numpy as np

from charmnet.arrays import Float32Array, MaskArray, UInt8Array
from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition


def exchange_foreground(
    foreground_image: UInt8Array,
    background_image: UInt8Array,
    foreground_mask: MaskArray,
    in_place: bool = False,
) -> UInt8Array:
    """Compose a scene's foreground under one condition with its background under another.

    The exchange is hard: each pixel comes whole from one of the two pictures. The background's picture is the
    composite's ground truth.

    Args:
        foreground_image: [H,W,3] uint8 RGB.
        background_image: [H,W,3] uint8 RGB of the same scene.
        foreground_mask: [H,W] uint8, 1 = foreground.
        in_place: write the composite into `foreground_image`, which saves a copy.

    Returns:
        [H,W,3] uint8 RGB.

    Raises:
        ValueError: the three differ in size.
    """
    if not foreground_image.shape[:2] == background_image.shape[:2] == foreground_mask.shape:
        raise ValueError(
            f"pictures of {foreground_image.shape} and {background_image.shape} with a mask of "
            f"{foreground_mask.shape}; expected one height and width"
        )
    composite = foreground_image if in_place else foreground_image.copy()
    cv2.copyTo(background_image, (foreground_mask == 0).view(np.uint8), composite)
    return composite


def soft_style_label(
    foreground_condition: CaptureCondition | int,
    background_condition: CaptureCondition | int,
    foreground_ratio: float,
) -> Float32Array:
    """Return a composite's style label, the target of SC1: its two conditions by the area that each covers.

    RdHarmony's lists weight the foreground's condition by the foreground's share of the picture, and the
    background's by the rest.

    Args:
        foreground_condition: 0-9.
        background_condition: 0-9.
        foreground_ratio: the foreground's share of the picture's area, 0 to 1.

    Returns:
        [10] float32 probabilities.

    Raises:
        ValueError: the ratio is no share.
    """
    if not 0.0 <= foreground_ratio <= 1.0:
        raise ValueError(f"foreground_ratio is {foreground_ratio}, expected a share of the area in 0..1")
    label = np.zeros(NUM_CONDITIONS, np.float32)
    label[foreground_condition] += foreground_ratio
    label[background_condition] += 1.0 - foreground_ratio
    return label
