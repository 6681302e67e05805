"""White balance, tone curve and sRGB bytes of a camera with fixed exposure."""

from __future__ import annotations

import numpy as np

from charmnet.arrays import FloatArray, UInt8Array
from charmnet.srgb import srgb_from_linear

LINEAR_UP_TO = 0.5  # brighter light is compressed
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # weights of the channels of linear sRGB


def white_balance(light: FloatArray, strength: float) -> FloatArray:
    """Return gains [3] that remove a share `strength` (0..1) of a light's colour and keep its luminance."""
    luminance = float(light @ LUMINANCE)
    if luminance <= 0:
        return np.ones(3)
    gains = (np.maximum(light, 1e-3 * luminance) / luminance) ** -strength
    return gains * luminance / float((gains * light) @ LUMINANCE)


def tone_curve(light: FloatArray) -> FloatArray:
    """Map light to display light 0..1: linear up to `LINEAR_UP_TO`, then compressed, never clipped."""
    room = 1.0 - LINEAR_UP_TO
    excess = np.maximum(light - LINEAR_UP_TO, 0.0)
    result: FloatArray = np.minimum(light, LINEAR_UP_TO) + room * (1.0 - np.exp(-excess / room))
    return result


def encode_srgb(light: FloatArray) -> UInt8Array:
    """Encode linear display light 0..1 as sRGB bytes (IEC 61966-2-1); light outside is clipped."""
    return np.rint(srgb_from_linear(np.clip(light, 0.0, 1.0)) * 255).astype(np.uint8)


def develop(exposed: FloatArray, gains: FloatArray) -> UInt8Array:
    """Return uint8 [H,W,3] sRGB of linear light [H,W,3] in which a white wall at full exposure is 1."""
    return encode_srgb(tone_curve(np.maximum(exposed, 0.0) * gains))
