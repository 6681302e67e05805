"""Trees, bushes, hay and stones."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rendering.description import (
    Ball,
    Color,
    Extrusion,
    Foliage,
    Material,
    Part,
    Pattern,
    Pose,
    Role,
    Thing,
    Vector,
)
from pipelines.rendering.parts import ball, block, paint, pick, shade, tube, turned_profile, vary, wheel

HAY_BALE_TOP_METERS = 0.5
"""Height of the top of a `square_hay_bale`."""

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))  # repeated turns by it never coincide
LEAF_GREENS = tuple(paint(srgb) for srgb in ("4f6f2f", "5d7a33", "3f5f2c", "6f7f35", "48683a"))
NEEDLE_GREENS = tuple(paint(srgb) for srgb in ("2f4a2c", "37523a", "3d5634"))
BARKS = tuple(paint(srgb) for srgb in ("5b4a3a", "6b5a4a", "4a3d33", "7a7068"))


def broadleaf_tree(rng: np.random.Generator, height: float | None = None) -> Thing:
    """Build a trunk with a few boughs below a crown of leafy clumps; 5 to 10 m high."""
    height = rng.uniform(5, 10) if height is None else height
    bark = _bark(rng)
    crown = (
        height * rng.uniform(0.24, 0.32),
        height * rng.uniform(0.24, 0.32),
        height * rng.uniform(0.27, 0.35),
    )
    middle = (0.0, 0.0, height - crown[2])
    fork = (0.0, 0.0, middle[2] - crown[2] * 0.6)
    radius = height * 0.018
    trunk = ((radius * 1.8, -0.1), (radius * 1.1, height * 0.06), (radius * 0.9, fork[2]))
    parts = [turned_profile(trunk, (0, 0, 0), bark), tube(fork, middle, radius * 0.9, bark, radius * 0.4)]
    for turn in range(5):
        angle = math.tau * (turn + rng.uniform(-0.3, 0.3)) / 5
        tip_height = middle[2] + rng.uniform(-0.4, 0.3) * crown[2]
        tip = (math.cos(angle) * crown[0] * 0.65, math.sin(angle) * crown[1] * 0.65, tip_height)
        parts.append(tube(fork, tip, radius * 0.6, bark, radius * 0.2))
    parts += _clumps(rng, middle, crown, count=36, leaf_meters=height * 0.036)
    return Thing("tree", Role.VEGETATION, tuple(parts))


def conifer(rng: np.random.Generator, height: float | None = None) -> Thing:
    """Build a spruce: whorls of drooping sprays, each narrower than the one below; 5 to 12 m high."""
    height = rng.uniform(5, 12) if height is None else height
    green = vary(rng, pick(rng, NEEDLE_GREENS))
    bottom = height * rng.uniform(0.06, 0.14)
    radius = height * rng.uniform(0.16, 0.22)
    parts = [tube((0, 0, -0.1), (0, 0, height * 0.97), height * 0.018, _bark(rng), 0.02)]
    whorls = 12
    for index in range(whorls):
        fraction = index / whorls
        reach = radius * (1 - fraction) ** 0.9 + 0.06
        tint = _leaves(shade(green, rng.uniform(0.8, 1.25)), 0.1)
        parts += _whorl(rng, reach, bottom + (height - bottom) * fraction, height / whorls, tint)
    spire = Foliage((height * 0.02, height * 0.02, height * 0.07), 60, height * 0.02, _seed(rng), 0.3)
    parts.append(Part(spire, _leaves(green, 0.1), Pose((0, 0, height * 0.93))))
    return Thing("tree", Role.VEGETATION, tuple(parts))


def _whorl(rng: np.random.Generator, reach: float, level: float, gap: float, tint: Material) -> list[Part]:
    """Build sprays of needles about the trunk at one level, hanging outwards."""
    parts = []
    for spray in range(7):
        angle = 360 * (spray + rng.uniform(-0.35, 0.35)) / 7
        out = reach * rng.uniform(0.45, 0.58)
        x, y = math.cos(math.radians(angle)) * out, math.sin(math.radians(angle)) * out
        shape = Foliage((reach * 0.55, reach * 0.26, gap * 0.42), 130, gap * 0.5, _seed(rng), 0.25)
        pose = Pose((x, y, level + gap * 0.4), yaw_degrees=angle, pitch_degrees=rng.uniform(14, 28))
        parts.append(Part(shape, tint, pose))
    return parts


def bush(rng: np.random.Generator, width: float | None = None) -> Thing:
    """Build leafy clumps on the ground; 0.8 to 2 m wide and somewhat lower."""
    width = rng.uniform(0.8, 2) if width is None else width
    half = (width / 2, width / 2 * rng.uniform(0.7, 1), width * rng.uniform(0.28, 0.4))
    parts = _clumps(rng, (0, 0, half[2] * 0.85), half, count=16, leaf_meters=0.085)
    return Thing("bush", Role.VEGETATION, tuple(parts))


def hedge(rng: np.random.Generator, length: float, height: float = 1.2) -> Thing:
    """Build a clipped row along x, 0.7 m thick."""
    green = vary(rng, pick(rng, LEAF_GREENS))
    core = Material(shade(green, 0.3))
    parts = [block((length - 0.3, 0.3, height - 0.25), (0, 0, 0), core)]
    count = max(1, round(length / 0.4))
    for index in range(count):
        x = length * ((index + 0.5) / count - 0.5)
        for level in (0.25, 0.5, 0.75):
            tint = _leaves(shade(green, rng.uniform(0.8, 1.25)), 0.08)
            shape = Foliage((0.3, 0.34, height * 0.26), 150, 0.11, _seed(rng))
            parts.append(Part(shape, tint, Pose((x, 0, height * level))))
    return Thing("hedge", Role.VEGETATION, tuple(parts))


def grass_tuft(rng: np.random.Generator) -> Thing:
    """Build a few blades, 0.12 to 0.35 m high."""
    green = vary(rng, pick(rng, LEAF_GREENS))
    parts = []
    for _ in range(int(rng.integers(12, 20))):
        tall = rng.uniform(0.12, 0.35)
        yaw = rng.uniform(0, 360)
        lean = tall * rng.uniform(0.1, 0.6)
        outline = (
            (-0.006, 0.0),
            (0.006, 0.0),
            (lean * 0.4 + 0.004, tall * 0.65),
            (lean, tall),
            (lean * 0.4 - 0.005, tall * 0.66),
        )
        angle = math.radians(yaw)
        pose = Pose((math.cos(angle) * 0.03, math.sin(angle) * 0.03, 0), yaw_degrees=yaw)
        parts.append(Part(Extrusion(outline, 0.012), Material(shade(green, rng.uniform(0.8, 1.4))), pose))
    return Thing("grass", Role.VEGETATION, tuple(parts))


def round_hay_bale(rng: np.random.Generator) -> Thing:
    """Build a roll of straw that lies on its side, its axis along x; 1.3 m high."""
    straw = vary(rng, paint("c9a95a"), 0.1)
    side = Material(straw, pattern=Pattern.STRIPES, second_color=shade(straw, 0.8), pattern_meters=0.12)
    face = Material(
        shade(straw, 0.85), pattern=Pattern.NOISE, second_color=shade(straw, 0.5), pattern_meters=0.08
    )
    radius = 0.65
    half = 0.6
    roll = (
        (0, -half),
        (radius * 0.94, -half),
        (radius, -half * 0.9),
        (radius, half * 0.9),
        (radius * 0.94, half),
        (0, half),
    )
    core = ((0, -half - 0.01), (radius * 0.9, -half - 0.01), (radius * 0.9, half + 0.01), (0, half + 0.01))
    parts = (wheel(roll, (0, 0, radius), side), wheel(core, (0, 0, radius), face, smooth=False))
    return Thing("hay bale", Role.PROP, parts)


def square_hay_bale(rng: np.random.Generator) -> Thing:
    """Build a tied bale, 1 m long along x; its top is at HAY_BALE_TOP_METERS."""
    straw = vary(rng, paint("c9a95a"), 0.1)
    size = (1.0, 0.5, HAY_BALE_TOP_METERS)
    material = Material(straw, pattern=Pattern.NOISE, second_color=shade(straw, 0.6), pattern_meters=0.06)
    string = Material(paint("3d5a80"))
    parts = [block(size, (0, 0, 0), material, bevel=0.03)]
    parts += [block((0.012, size[1] + 0.008, size[2] + 0.004), (x, 0, 0), string) for x in (-0.25, 0.25)]
    return Thing("hay bale", Role.PROP, tuple(parts))


def boulder(rng: np.random.Generator, width: float | None = None) -> Thing:
    """Build a boulder of a few overlapping stones; 0.3 to 1 m wide."""
    width = rng.uniform(0.3, 1) if width is None else width
    grey = vary(rng, paint("8a857c"))
    stone = Material(grey, pattern=Pattern.NOISE, second_color=shade(grey, 0.6), pattern_meters=width / 5)
    parts = []
    for _ in range(4):
        radii = (
            width * rng.uniform(0.28, 0.45),
            width * rng.uniform(0.25, 0.4),
            width * rng.uniform(0.2, 0.3),
        )
        middle = (rng.uniform(-0.12, 0.12) * width, rng.uniform(-0.12, 0.12) * width, radii[2] * 0.7)
        parts.append(ball(radii, middle, stone, yaw=rng.uniform(0, 180)))
    return Thing("boulder", Role.PROP, tuple(parts))


def _bark(rng: np.random.Generator) -> Material:
    color = vary(rng, pick(rng, BARKS))
    return Material(color, pattern=Pattern.NOISE, second_color=shade(color, 0.55), pattern_meters=0.15)


def _leaves(color: Color, grain: float) -> Material:
    return Material(color, pattern=Pattern.NOISE, second_color=shade(color, 0.45), pattern_meters=grain)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _clumps(
    rng: np.random.Generator, middle: Vector, half: Vector, count: int, leaf_meters: float
) -> list[Part]:
    """Build tufts of leaves over an ellipsoid, darker below, about a core that stops light."""
    green = vary(rng, pick(rng, LEAF_GREENS))
    tints = [_leaves(shade(green, factor), leaf_meters) for factor in (1.0, 1.25, 1.5)]
    core = Ball((half[0] * 0.5, half[1] * 0.5, half[2] * 0.55))
    parts = [Part(core, Material(shade(green, 0.25)), Pose(middle))]
    for index in range(count):
        up = 2 * (index + 0.5) / count - 1
        angle = index * GOLDEN_ANGLE
        out = math.sqrt(1 - up * up) * rng.uniform(0.5, 0.85)
        x, y = middle[0] + half[0] * out * math.cos(angle), middle[1] + half[1] * out * math.sin(angle)
        z = middle[2] + half[2] * up * rng.uniform(0.55, 0.8)
        size = rng.uniform(0.25, 0.44)
        shape = Foliage((half[0] * size, half[1] * size, half[2] * size * 0.8), 150, leaf_meters, _seed(rng))
        tint = tints[min(2, int((up + 1) * 1.2 + rng.uniform(0, 0.8)))]
        parts.append(Part(shape, tint, Pose((x, y, z))))
    return parts
