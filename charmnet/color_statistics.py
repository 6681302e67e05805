"""Colour statistics of a region, and giving one region the statistics of another (Reinhard et al., 2001)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MINIMUM_DEVIATION = 1e-3  # of a Lab channel; a region of one single colour has no spread to scale
CLIPPED_LAB_DIFFERENCE = 2.0  # between a wanted and the nearest possible colour: what an eye would notice


def lab_statistics(
    image: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of a region in CIE Lab.

    Args:
        image: [H,W,3] uint8 RGB.
        mask: [H,W] uint8, 1 inside the region.

    Returns:
        [3] means and [3] standard deviations of L (0..100), a and b.

    Raises:
        ValueError: the region is empty.
    """
    if not mask.any():
        raise ValueError("the region is empty: no pixel of the mask is set")
    pixels = _to_lab(image)[mask > 0]
    return pixels.mean(axis=0), pixels.std(axis=0)


def transfer_statistics(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    mean: NDArray[np.float32],
    deviation: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], float]:
    """The image with the region's Lab statistics replaced; the rest is untouched.

    Args:
        image: [H,W,3] uint8 RGB.
        mask: [H,W] uint8, 1 inside the region.
        mean, deviation: [3] what the region shall have, as `lab_statistics` gives it.

    Returns:
        The changed image, and the share (0..1) of the region's pixels whose new colour lies outside the RGB
        cube and was clipped: large where the result looks unnatural.
    """
    own_mean, own_deviation = lab_statistics(image, mask)
    inside = mask > 0
    lab = _to_lab(image)[inside]
    scale = deviation / np.maximum(own_deviation, MINIMUM_DEVIATION)
    lab = ((lab - own_mean) * scale + mean).astype(np.float32)
    rgb = cv2.cvtColor(lab[None], cv2.COLOR_Lab2RGB)  # OpenCV clips to the RGB cube
    reached = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0]
    clipped = np.abs(reached - lab).max(axis=1) > CLIPPED_LAB_DIFFERENCE
    result = image.copy()
    result[inside] = np.rint(rgb[0] * 255.0).astype(np.uint8)
    return result, float(clipped.mean())


def _to_lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab), np.float32)
