"""Jitter of a photograph's exposure, gamma, white balance and saturation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from charmnet.arrays import Float32Array, UInt8Array

MAX_JITTER = 2.0
"""Greatest strength: with more, most photographs end in black and white."""

_GAMMA = 0.25  # deviations of logarithms at strength 1
_EXPOSURE = 0.15
_WHITE_BALANCE = 0.1
_SATURATION = 0.3
_DARKEST = 1e-3


@dataclass(frozen=True)
class ColorJitter:
    """One change of a photograph's colours.

    Attributes:
        curves: [256,3] value of each level in R, G and B after gamma, exposure and white balance, on 0-255.
        saturation: factor of the distance from the mean of the three channels.
    """

    curves: Float32Array
    saturation: float

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float) -> ColorJitter:
        """Draw a change; all of its logarithms are normal with deviations in proportion to the strength."""
        gamma, exposure, saturation, *balance = rng.standard_normal(6) * strength
        gains = np.exp(_EXPOSURE * exposure + _WHITE_BALANCE * np.array(balance))
        levels = (np.arange(256) / 255).clip(_DARKEST, 1) ** np.exp(_GAMMA * gamma)
        curves = (255 * levels[:, None] * gains).astype(np.float32)
        return cls(curves, float(np.exp(_SATURATION * saturation)))

    def apply(self, image: UInt8Array) -> UInt8Array:
        """Return [H,W,3] uint8 RGB with the change made."""
        curves = (self.curves * np.float32(self.saturation))[None]
        scaled = np.asarray(cv2.LUT(image, curves), np.float32)
        grey = scaled[..., 0] + scaled[..., 1] + scaled[..., 2]
        grey *= np.float32((1 / self.saturation - 1) / 3)
        scaled += grey[..., None]
        result: UInt8Array = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        return result
