"""Groups of like colours, to tell foregrounds apart that nobody gave a category."""

from __future__ import annotations

import math

from charmnet.arrays import Float64Array

LEAST_CHROMA = 10.0
"""Distance from grey (CIE Lab) below which a colour has no hue."""

_GREYS = (("dark", 35.0), ("grey", 65.0), ("light", math.inf))
_HUES = (("red", 45), ("yellow", 105), ("green", 165), ("cyan", 225), ("blue", 310), ("purple", 345))
"""Degrees in the plane of a and b up to which a hue goes by a name; red begins where purple ends."""

_DARK_LIGHTNESS = 40.0


def color_group(lab: Float64Array) -> str:
    """Return the group of a colour, such as `grey` or `dark green`.

    Args:
        lab: [3] CIE Lab, L in 0..100.
    """
    lightness, a, b = (float(value) for value in lab)
    if math.hypot(a, b) < LEAST_CHROMA:
        return next(name for name, limit in _GREYS if lightness < limit)
    degrees = math.degrees(math.atan2(b, a)) % 360
    hue = next((name for name, limit in _HUES if degrees < limit), "red")
    return f"dark {hue}" if lightness < _DARK_LIGHTNESS else f"light {hue}"
