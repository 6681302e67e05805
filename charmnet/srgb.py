"""The sRGB curve (IEC 61966-2-1) between encoded colours and linear light."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", bound=np.floating)

_LINEAR_SLOPE = 12.92
_OFFSET = 0.055
_EXPONENT = 2.4
_LINEAR_LIGHT = 0.0031308  # darker linear light is encoded by a straight line
_LINEAR_CODE = 0.04045  # the same limit on the encoded side


def linear_from_srgb(encoded: NDArray[Real]) -> NDArray[Real]:
    """Decode sRGB values to linear light.

    Args:
        encoded: any shape, 0 to 1 in both spaces; values outside are extrapolated, negative ones in a line.

    Returns:
        The same shape and precision.
    """
    curved = (np.maximum(encoded, 0) / (1 + _OFFSET) + _OFFSET / (1 + _OFFSET)) ** _EXPONENT
    return np.where(encoded <= _LINEAR_CODE, encoded / _LINEAR_SLOPE, curved)


def srgb_from_linear(linear: NDArray[Real]) -> NDArray[Real]:
    """Encode linear light as sRGB values; the inverse of `linear_from_srgb`.

    Args:
        linear: any shape, 0 to 1 in both spaces; values outside are extrapolated, negative ones in a line.

    Returns:
        The same shape and precision.
    """
    curved = (1 + _OFFSET) * np.maximum(linear, _LINEAR_LIGHT) ** (1 / _EXPONENT) - _OFFSET
    return np.where(linear <= _LINEAR_LIGHT, _LINEAR_SLOPE * linear, curved)
