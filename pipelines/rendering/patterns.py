"""Patterns of materials: small pictures that repeat without seams."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from charmnet.arrays import Float32Array, Float64Array
from pipelines.rendering.description import Material, Pattern

NOISE_PERIODS = 8  # periods of the pattern before the noise repeats
BRICKS = (2, 6)  # bricks along and upwards in a repeat: a brick is one period long, three times its height
JOINT_SHARE = 0.05  # width of a joint as a share of a brick's length
NOISE_PIXELS = 256


def picture(material: Material) -> tuple[Float32Array, float]:
    """Draw a pattern; return its reflectances, float32 [H,W,3], and the metres that the picture spans."""
    share = _share(material.pattern)[..., None]
    color, second = np.array(material.color), np.array(material.second_color)
    periods = {Pattern.NOISE: NOISE_PERIODS, Pattern.BRICKS: BRICKS[0]}.get(material.pattern, 1)
    pixels = (share * second + (1 - share) * color).astype(np.float32)
    return pixels, periods * material.pattern_meters


@lru_cache
def _share(pattern: Pattern) -> Float32Array:
    """Return the share of the second colour, [H,W] of 0..1."""
    if pattern is Pattern.CHECKER:
        return np.kron(np.eye(2)[::-1], np.ones((16, 16))).astype(np.float32)
    if pattern is Pattern.STRIPES:
        return np.repeat(np.arange(32) >= 16, 4).reshape(32, 4).astype(np.float32)
    if pattern is Pattern.BRICKS:
        return _joints()
    return fractal_noise(NOISE_PIXELS, NOISE_PERIODS, octaves=5, seed=0).clip(0, 1)


def _joints(pixels: int = 192) -> Float32Array:
    """Draw the joints of a running bond, [pixels,pixels] of 0 and 1."""
    v, u = np.mgrid[:pixels, :pixels] / pixels
    course = v * BRICKS[1]
    along = u * BRICKS[0] + 0.5 * (np.floor(course) % 2)
    joint = (course % 1 < JOINT_SHARE * BRICKS[1] / BRICKS[0]) | (along % 1 < JOINT_SHARE)
    result: Float32Array = joint.astype(np.float32)
    return result


def fractal_noise(pixels: int, periods: int, octaves: int, seed: int) -> Float32Array:
    """Draw smooth noise [pixels,pixels] that repeats without seams, of mean 0.5 and standard deviation 0.25.

    The noise sums interpolated random lattices; each octave has half the amplitude and twice the frequency of
    the one before.

    Args:
        pixels: side of the picture.
        periods: cells of the first lattice along each side.
        octaves: number of lattices.
        seed: seed of the lattices.
    """
    rng = np.random.default_rng([seed, periods])
    total = np.zeros((pixels, pixels))
    for octave in range(octaves):
        cells = min(periods * 2**octave, pixels)
        total += _interpolated(rng.normal(size=(cells, cells)), pixels) / 2**octave
    result: Float32Array = (0.5 + 0.25 * (total - total.mean()) / total.std()).astype(np.float32)
    return result


def _interpolated(lattice: Float64Array, pixels: int) -> Float64Array:
    cells = len(lattice)
    position = np.arange(pixels) / pixels * cells
    low = np.floor(position).astype(int)
    share = position - low
    share = share * share * (3 - 2 * share)
    high = (low + 1) % cells
    rows = lattice[low] * (1 - share)[:, None] + lattice[high] * share[:, None]
    result: Float64Array = rows[:, low] * (1 - share) + rows[:, high] * share
    return result
