"""Names for the NumPy arrays that pictures, masks and light are held in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
"""Pictures: [H,W,3] RGB or [H,W] grey, values 0 to 255."""

MaskArray = NDArray[np.uint8]
"""Foreground masks: [H,W] uint8, 1 = foreground, 0 = background."""

Float32Array = NDArray[np.float32]
"""Single precision, any shape; the function that takes it says which shape and range."""

Float64Array = NDArray[np.float64]
"""Double precision, any shape; colours are [N,3] RGB on the scale 0 to 1 unless said otherwise."""

FloatArray = NDArray[np.floating]
"""Either precision, for functions that keep the one they are given."""

IndexArray = NDArray[np.int64]
"""Indices of vertices or rows, any shape, 0 and above."""
