"""Smooth maps of colours that are fitted to a few hundred of them and applied to pictures fast.

A transfer of colours costs milliseconds on every pixel of a picture. Fitted to a palette of its colours, it
becomes a polynomial: exactly so where the transfer is linear in RGB, else nearly. Applying it takes additions
and multiplications in single precision alone, each rounded by itself as IEEE 754 says, so that the same map
gives the same bytes on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charmnet.arrays import Float32Array, Float64Array, MaskArray, UInt8Array

_SCALE = 0.25
"""Deviation of colours (RGB on 0-1) that the polynomial's variables are divided by."""

_RIDGE = (1e-6, 1e-3)
"""What holds linear and quadratic coefficients small where a palette says nothing of them."""

_SQUARES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class ColorPolynomial:
    """A change of colours as a polynomial of RGB.

    Attributes:
        centre: [3] RGB on 0-1, where the polynomial's variables are 0.
        change: [3,10] or [3,4], for each channel of the change (RGB on 0-1) the constant, the coefficients of
            r, g, b and, in ten, of rr, gg, bb, rg, rb, gb.
    """

    centre: Float64Array
    change: Float64Array

    @classmethod
    def fit(cls, colors: Float64Array, changed: Float64Array, *, linear: bool) -> ColorPolynomial:
        """Fit the map that takes [N,3] colours (RGB on 0-1) to others, by least squares.

        Args:
            colors: [N,3], at least one.
            changed: [N,3], what they are to become.
            linear: fit no squares.
        """
        centre = colors.mean(axis=0)
        terms = _terms((colors - centre) / _SCALE, linear=linear)
        ridge = np.repeat([0.0, *_RIDGE][: 2 if linear else 3], [1, 3] if linear else [1, 3, 6])
        normal = np.einsum("if,ig->fg", terms, terms) + np.diag(ridge * len(colors))
        solved = np.linalg.solve(normal, np.einsum("if,ic->fc", terms, changed - colors))
        return cls(centre, np.ascontiguousarray(solved.T))

    def __call__(self, colors: Float64Array) -> Float64Array:
        """Map [N,3] RGB on 0-1; results may lie outside."""
        terms = _terms((colors - self.centre) / _SCALE, linear=self.change.shape[1] == 4)
        mapped: Float64Array = colors + np.einsum("if,cf->ic", terms, self.change)
        return mapped

    def recolored(self, image: UInt8Array, coverage: MaskArray) -> UInt8Array:
        """Return a picture with the map applied where a mask covers it.

        Args:
            image: [H,W,3] uint8.
            coverage: [H,W] uint8, 0 to 255: the share of the change that a pixel gets.

        Returns:
            [H,W,3] uint8, a new array; pixels of coverage 0 keep every bit.
        """
        inside = np.flatnonzero(coverage)
        result = image.copy()
        pixels, share = result.reshape(-1, 3), coverage.reshape(-1)[inside]
        whole = len(share) > 0 and int(share.min()) == 255
        pixels[inside] = self._apply(pixels[inside], None if whole else share)
        return result

    def _apply(self, pixels: UInt8Array, share: UInt8Array | None) -> UInt8Array:
        """Map [N,3] pixels, each by its share of the change."""
        planes = np.ascontiguousarray(pixels.T).astype(np.float32)
        factor, offsets = np.float32(1 / (255 * _SCALE)), (self.centre / _SCALE).astype(np.float32)
        variables = [plane * factor - offset for plane, offset in zip(planes, offsets, strict=True)]
        weight = None if share is None else share * np.float32(1 / 255)
        for plane, row in zip(planes, (self.change * 255).astype(np.float32), strict=True):
            change = _polynomial(row, variables)
            np.add(plane, change if weight is None else change * weight, out=plane)
        result: UInt8Array = np.rint(planes.clip(0, 255)).astype(np.uint8).T
        return result


def _terms(variables: Float64Array, *, linear: bool) -> Float64Array:
    """Return [N,4] or [N,10] terms of a polynomial of [N,3] variables."""
    squares = [] if linear else [variables[:, i] * variables[:, j] for i, j in _SQUARES]
    return np.column_stack([np.ones(len(variables)), variables, *squares])


def _polynomial(row: Float32Array, variables: list[Float32Array]) -> Float32Array:
    """Evaluate a channel's polynomial at N colours, as few operations as it takes."""
    red, green, blue = variables
    if len(row) == 4:
        linear: Float32Array = red * row[1] + green * row[2] + blue * row[3] + row[0]
        return linear
    result: Float32Array = red * (red * row[4] + green * row[7] + blue * row[8] + row[1])
    result += green * (green * row[5] + blue * row[9] + row[2])
    result += blue * (blue * row[6] + row[3]) + row[0]
    return result
