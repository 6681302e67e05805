"""Which composites look natural enough to learn from: visibly wrong, but not absurd.

The rules are few and stated so that they can be judged; they look at the foreground alone. The limits of the
foreground's error and of its share of the picture are those by which iHarmony4-like data are made; the others
were set by looking at what they let pass.
"""

from __future__ import annotations

import numpy as np

from charmnet.arrays import Float64Array, MaskArray, UInt8Array
from charmnet.recoloring import lab_of_rgb

FOREGROUND_MSE = (80.0, 3500.0)
"""Mean squared difference of the foreground's pixels before and after, on the scale 0-255."""

CLIPPED_SHARE = 0.05
"""At most, of the foreground's pixels whose new colour lies outside the RGB cube by more than this:"""

CLIPPING_TOLERANCE = 4 / 255

CONTRAST_RATIO = (0.5, 2.0)
"""Standard deviation of the foreground's lightness (L of CIE Lab) after, divided by that before."""

COLOR_SHIFT = 20.0
"""At most, distance in the plane of a and b (CIE Lab) by which a pixel's colour moves, on average."""

HUE_TURN_DEGREES = 60.0
"""At most, turn of a pixel's hue on average, each weighted by the lesser of its chromas before and after."""

GRAIN_RATIO = 1.6
"""At most, mean difference of neighbours after, divided by that before: noise is not to be pulled up."""

_TOO_FAR = "changed beyond belief"


def reason_by_means(before: Float64Array, after: Float64Array) -> str | None:
    """What can be said before a try, from mean colours ([3] RGB on 0-1) of foreground and reference alone.

    A transfer brings the one to the other (Reinhard's nearly), and pixels differ by no less than their means.
    """
    far = float(np.square((after - before) * 255).mean()) > FOREGROUND_MSE[1]
    return _TOO_FAR if far else None


def reason_by_colors(before: Float64Array, after: Float64Array) -> str | None:
    """Why a transfer is not taken, in two or three words for counting, or None where it is.

    Args:
        before, after: [N,3] RGB on 0-1 of the foreground's pixels or of a sample; after as transferred, not
            clipped to the cube yet.
    """
    outside = np.maximum(-after, after - 1).max(axis=1)
    after = after.clip(0, 1)
    error = float(np.square((after - before) * 255).mean())
    if error < FOREGROUND_MSE[0]:
        return "hardly changed"
    if error > FOREGROUND_MSE[1]:
        return _TOO_FAR
    if float((outside > CLIPPING_TOLERANCE).mean()) > CLIPPED_SHARE:
        return "clipped colours"
    return _reason_in_lab(lab_of_rgb(before), lab_of_rgb(after))


def reason_by_grain(image: UInt8Array, composite: UInt8Array, foreground_mask: MaskArray) -> str | None:
    """The same by neighbouring pixels.

    Args:
        image, composite: [H,W,3] uint8. foreground_mask: [H,W] uint8 of 0 and 1.
    """
    before, after = (_grain(picture, foreground_mask) for picture in (image, composite))
    return "grainy" if after > GRAIN_RATIO * max(before, 1.0) else None


def _reason_in_lab(before: Float64Array, after: Float64Array) -> str | None:
    ratio = float(after[:, 0].std() / max(before[:, 0].std(), 1e-3))
    if not CONTRAST_RATIO[0] <= ratio <= CONTRAST_RATIO[1]:
        return "another contrast"
    if float(np.hypot(*(after - before)[:, 1:].T).mean()) > COLOR_SHIFT:
        return "strong cast"
    return "turned hues" if _hue_turn_degrees(before, after) > HUE_TURN_DEGREES else None


def _hue_turn_degrees(before: Float64Array, after: Float64Array) -> float:
    was, now = (lab[:, 1] + 1j * lab[:, 2] for lab in (before, after))
    weight = np.minimum(np.abs(was), np.abs(now))
    turn = np.abs(np.angle(now * was.conj(), deg=True))
    return float((weight * turn).sum() / (weight.sum() + len(weight)))  # greys have no hue to turn


def _grain(image: UInt8Array, foreground_mask: MaskArray) -> float:
    """Mean difference (0-255) of horizontal neighbours in the foreground."""
    both = (foreground_mask[:, 1:] & foreground_mask[:, :-1]) != 0
    differences = np.abs(np.diff(image.astype(np.int16), axis=1))[both]
    return float(differences.mean()) if len(differences) else 0.0
