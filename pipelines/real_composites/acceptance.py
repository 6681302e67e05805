"""Which composites look natural enough to learn from: visibly wrong, but not absurd.

The rules are few and stated so that they can be judged; they look at the foreground alone. The limits of the
foreground's error and of its share of the picture are those by which iHarmony4-like data are made; the others
were set by looking at what they let pass.
"""

from __future__ import annotations

import numpy as np

from charmnet.images import UInt8Array
from charmnet.recoloring import Recolored, foreground_colors, lab_of_rgb

FOREGROUND_MSE = (80.0, 3500.0)
"""Mean squared difference of the foreground's pixels before and after, on the scale 0-255."""

CLIPPED_SHARE = 0.05
"""At most, of the foreground's pixels whose new colour no display shows."""

CONTRAST_RATIO = (0.5, 2.0)
"""Standard deviation of the foreground's lightness (L of CIE Lab) after, divided by that before."""

COLOR_CAST = 30.0
"""At most, distance in the plane of a and b (CIE Lab) by which the foreground's mean colour moves."""


def reason_against(image: UInt8Array, foreground_mask: UInt8Array, recolored: Recolored) -> str | None:
    """Why a recoloured foreground is not taken, in two words for counting, or None where it is.

    Args:
        image: [H,W,3] uint8 as it was. foreground_mask: [H,W] uint8 of 0 and 1, not empty.
    """
    before = foreground_colors(image, foreground_mask)
    after = foreground_colors(recolored.image, foreground_mask)
    error = float(np.square((after - before) * 255).mean())
    if error < FOREGROUND_MSE[0]:
        return "hardly changed"
    if error > FOREGROUND_MSE[1]:
        return "changed beyond belief"
    if recolored.clipped_share > CLIPPED_SHARE:
        return "clipped colours"
    lab_before, lab_after = lab_of_rgb(before), lab_of_rgb(after)
    ratio = float(lab_after[:, 0].std() / max(lab_before[:, 0].std(), 1e-3))
    if not CONTRAST_RATIO[0] <= ratio <= CONTRAST_RATIO[1]:
        return "unlike contrast"
    cast = lab_after[:, 1:].mean(axis=0) - lab_before[:, 1:].mean(axis=0)
    return "strong cast" if float(np.hypot(*cast)) > COLOR_CAST else None
