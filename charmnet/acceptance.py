"""Rules for composites that look natural enough to learn from: visibly wrong, but not absurd.

The rules look at the foreground alone. The limits of the foreground's error and of its share of the picture
are those of data sets made like iHarmony4; the others were set by looking at the composites that they accept.
"""

from __future__ import annotations

import cv2
import numpy as np

from charmnet.arrays import Float64Array, MaskArray, UInt8Array
from charmnet.recoloring import lab_of_rgb

FOREGROUND_MSE = (80.0, 3500.0)
"""Least and greatest mean squared difference of the foreground's pixels before and after, on 0-255."""

CLIPPED_SHARE = 0.05
"""Greatest share of foreground pixels whose new colour is outside the RGB cube by over CLIPPING_TOLERANCE."""

CLIPPING_TOLERANCE = 4 / 255
"""Distance outside the RGB cube, on 0-1, from which on a colour counts as clipped."""

CONTRAST_RATIO = (0.5, 2.0)
"""Least and greatest ratio of the deviation of the foreground's lightness (L of CIE Lab), after by before."""

COLOR_SHIFT = 20.0
"""Greatest mean distance in the plane of a and b (CIE Lab) by which pixels' colours move."""

HUE_TURN_DEGREES = 60.0
"""Greatest mean turn of the pixels' hues, each weighted by the lesser of its chromas before and after."""

GRAIN_RATIO = 1.6
"""Greatest ratio of the mean difference of neighbouring pixels, after by before: more amplifies noise."""

_TOO_WEAK = "recolouring too weak"
_TOO_STRONG = "recolouring too strong"


def reason_by_means(before: Float64Array, after: Float64Array) -> str | None:
    """Return why a transfer is sure to be refused, from mean colours alone, or None.

    A transfer gives the foreground the reference's mean (Reinhard's nearly), and the mean squared difference
    of all pixels is at least that of their means.

    Args:
        before: [3] RGB on 0-1, mean colour of the foreground.
        after: [3] RGB on 0-1, mean colour of the reference.
    """
    error = float(np.square((after - before) * 255).mean())
    return _TOO_STRONG if error > FOREGROUND_MSE[1] else None


def reason_by_colors(
    before: Float64Array, after: Float64Array, lab_before: Float64Array | None = None
) -> str | None:
    """Return why a transfer is refused, in a few words that can be counted, or None where it is accepted.

    Args:
        before: [N,3] RGB on 0-1 of the foreground's pixels or of a sample of them.
        after: [N,3] the same pixels as transferred, not clipped to the RGB cube yet.
        lab_before: [N,3] `before` in CIE Lab, where it is known.
    """
    outside = np.maximum(-after, after - 1).max(axis=1)
    after = after.clip(0, 1)
    error = float(np.square((after - before) * 255).mean())
    if error < FOREGROUND_MSE[0]:
        return _TOO_WEAK
    if error > FOREGROUND_MSE[1]:
        return _TOO_STRONG
    if float((outside > CLIPPING_TOLERANCE).mean()) > CLIPPED_SHARE:
        return "clipped colours"
    return _reason_in_lab(lab_of_rgb(before) if lab_before is None else lab_before, lab_of_rgb(after))


def reason_by_grain(image: UInt8Array, composite: UInt8Array, foreground_mask: MaskArray) -> str | None:
    """Return why a composite is refused by the differences of neighbouring pixels, or None.

    Args:
        image: [H,W,3] uint8.
        composite: [H,W,3] uint8.
        foreground_mask: [H,W] uint8 of 0 and 1.
    """
    before, after = (_grain(picture, foreground_mask) for picture in (image, composite))
    return "grainy" if after > GRAIN_RATIO * max(before, 1.0) else None


def _reason_in_lab(before: Float64Array, after: Float64Array) -> str | None:
    ratio = float(after[:, 0].std() / max(before[:, 0].std(), 1e-3))
    if not CONTRAST_RATIO[0] <= ratio <= CONTRAST_RATIO[1]:
        return "contrast changed too much"
    if float(np.hypot(*(after - before)[:, 1:].T).mean()) > COLOR_SHIFT:
        return "strong cast"
    return "turned hues" if _hue_turn_degrees(before, after) > HUE_TURN_DEGREES else None


def _hue_turn_degrees(before: Float64Array, after: Float64Array) -> float:
    chroma_before, chroma_after = (lab[:, 1] + 1j * lab[:, 2] for lab in (before, after))
    weight = np.minimum(np.abs(chroma_before), np.abs(chroma_after))
    turn = np.abs(np.angle(chroma_after * chroma_before.conj(), deg=True))
    return float((weight * turn).sum() / (weight.sum() + len(weight)))  # greys have no hue to turn


def _grain(image: UInt8Array, foreground_mask: MaskArray) -> float:
    """Return the mean difference (0-255) of horizontal neighbours in the foreground."""
    both = foreground_mask[:, 1:] & foreground_mask[:, :-1]
    differences = cv2.absdiff(image[:, 1:], image[:, :-1])
    return float(np.mean(cv2.mean(differences, both)[:3]))  # 0 where there are none
