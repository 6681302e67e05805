"""Trees, bushes, hay and stones."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rendering.description import (
    Ball,
    Color,
    Lathe,
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
"""Of `square_hay_bale`."""

LEAF_GREENS = tuple(paint(srgb) for srgb in ("4f6f2f", "5d7a33", "3f5f2c", "6f7f35", "48683a"))
NEEDLE_GREENS = tuple(paint(srgb) for srgb in ("2f4a2c", "37523a", "3d5634"))
BARKS = tuple(paint(srgb) for srgb in ("5b4a3a", "6b5a4a", "4a3d33", "7a7068"))


def broadleaf_tree(rng: np.random.Generator, height: float | None = None) -> Thing:
    """A trunk with a few boughs beneath a crown of leafy clumps; 5 to 10 m high."""
    height = rng.uniform(5, 10) if height is None else height
    bark = _bark(rng)
    crown = (
        height * rng.uniform(0.26, 0.34),
        height * rng.uniform(0.26, 0.34),
        height * rng.uniform(0.3, 0.36),
    )
    middle = (0.0, 0.0, height - crown[2])
    fork = (0.0, 0.0, middle[2] - crown[2] * 0.55)
    radius = height * 0.022
    parts = [
        turned_profile(
            ((0, -0.1), (radius * 1.7, -0.1), (radius, height * 0.06), (radius * 0.9, fork[2])),
            (0, 0, 0),
            bark,
        ),
        tube(fork, middle, radius * 0.9, bark, radius * 0.4),
    ]
    for turn in range(5):
        angle = math.tau * (turn + rng.uniform(-0.3, 0.3)) / 5
        end = (
            math.cos(angle) * crown[0] * 0.7,
            math.sin(angle) * crown[1] * 0.7,
            middle[2] + rng.uniform(-0.3, 0.4) * crown[2],
        )
        parts.append(tube(fork, end, radius * 0.6, bark, radius * 0.2))
    parts += _clumps(rng, middle, crown, pick(rng, LEAF_GREENS), count=70)
    return Thing("tree", Role.VEGETATION, tuple(parts))


def conifer(rng: np.random.Generator, height: float | None = None) -> Thing:
    """A spruce: skirts of drooping branches, each narrower than the one beneath it; 5 to 12 m high."""
    height = rng.uniform(5, 12) if height is None else height
    green = vary(rng, pick(rng, NEEDLE_GREENS))
    base, radius = height * rng.uniform(0.06, 0.14), height * rng.uniform(0.16, 0.22)
    parts = [tube((0, 0, 0), (0, 0, height * 0.9), height * 0.018, _bark(rng), 0.02)]
    skirts = 11
    for index in range(skirts):
        fraction = index / skirts
        width = radius * (1 - fraction) ** 0.85 + 0.08
        bottom = base + (height - base) * fraction
        tall = (height - base) / skirts * rng.uniform(1.9, 2.3)
        tall = min(tall, height - bottom)
        tint = _leaves(shade(green, rng.uniform(0.8, 1.25)), 0.12)
        parts += _skirt(rng, width, tall, bottom, tint)
    return Thing("tree", Role.VEGETATION, tuple(parts))


def _skirt(rng: np.random.Generator, width: float, tall: float, bottom: float, tint: Material) -> list[Part]:
    """A ring of drooping fans about the trunk, and the cone that fills what is between them."""
    cone = ((0.0, tall * 0.1), (width * 0.8, tall * 0.05), (width * 0.35, tall * 0.5), (0.0, tall))
    parts = [Part(Lathe(cone), tint, Pose((0, 0, bottom), yaw_degrees=rng.uniform(0, 360)))]
    fans = 9
    for fan in range(fans):
        angle = 360 * (fan + rng.uniform(-0.3, 0.3)) / fans
        reach = width * rng.uniform(0.45, 0.58)
        middle = (
            math.cos(math.radians(angle)) * reach,
            math.sin(math.radians(angle)) * reach,
            bottom + tall * 0.16,
        )
        shape = Ball((width * 0.52, width * 0.2, tall * 0.12))
        parts.append(Part(shape, tint, Pose(middle, yaw_degrees=angle, pitch_degrees=rng.uniform(12, 26))))
    return parts


def bush(rng: np.random.Generator, width: float | None = None) -> Thing:
    """Leafy clumps on the ground; 0.8 to 2 m wide and somewhat lower."""
    width = rng.uniform(0.8, 2) if width is None else width
    half = (width / 2, width / 2 * rng.uniform(0.7, 1), width * rng.uniform(0.28, 0.42))
    middle = (0.0, 0.0, half[2] * 0.9)
    parts = _clumps(rng, middle, half, pick(rng, LEAF_GREENS), count=34, lowest=0.0)
    return Thing("bush", Role.VEGETATION, tuple(parts))


def hedge(rng: np.random.Generator, length: float, height: float = 1.2) -> Thing:
    """A clipped row along x."""
    green = vary(rng, pick(rng, LEAF_GREENS))
    parts = []
    for index in range(max(1, round(length / 0.35))):
        x = -length / 2 + 0.35 * (index + 0.5)
        for level in (0.22, 0.55, 0.82):
            middle = (x + rng.uniform(-0.08, 0.08), rng.uniform(-0.08, 0.08), height * level)
            radii = (0.34, rng.uniform(0.3, 0.36), height * 0.2)
            parts.append(ball(radii, middle, _leaves(shade(green, rng.uniform(0.75, 1.25)), 0.1)))
    return Thing("hedge", Role.VEGETATION, tuple(parts))


def grass_tuft(rng: np.random.Generator) -> Thing:
    """A handful of blades, 0.15 to 0.35 m high."""
    green = vary(rng, pick(rng, LEAF_GREENS))
    parts = []
    for _ in range(int(rng.integers(9, 16))):
        angle, lean, tall = rng.uniform(0, math.tau), rng.uniform(0.02, 0.16), rng.uniform(0.15, 0.35)
        foot = (math.cos(angle) * 0.05, math.sin(angle) * 0.05, 0.0)
        tip = (math.cos(angle) * (0.05 + lean), math.sin(angle) * (0.05 + lean), tall)
        parts.append(tube(foot, tip, 0.008, Material(shade(green, rng.uniform(0.8, 1.4))), 0.002))
    return Thing("grass", Role.VEGETATION, tuple(parts))


def round_hay_bale(rng: np.random.Generator) -> Thing:
    """A roll of straw lying on its side, its axle along x; 1.3 m high."""
    straw = vary(rng, paint("c9a95a"), 0.1)
    side = Material(straw, pattern=Pattern.STRIPES, second_color=shade(straw, 0.8), pattern_meters=0.12)
    face = Material(
        shade(straw, 0.85), pattern=Pattern.NOISE, second_color=shade(straw, 0.5), pattern_meters=0.08
    )
    radius, half = 0.65, 0.6
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
    """A tied bale, 1 m long along x; its top is at HAY_BALE_TOP_METERS."""
    straw = vary(rng, paint("c9a95a"), 0.1)
    size = (1.0, 0.5, HAY_BALE_TOP_METERS)
    material = Material(straw, pattern=Pattern.NOISE, second_color=shade(straw, 0.6), pattern_meters=0.06)
    string = Material(paint("3d5a80"))
    parts = [block(size, (0, 0, 0), material, bevel=0.03)]
    parts += [block((0.012, size[1] + 0.008, size[2] + 0.004), (x, 0, 0), string) for x in (-0.25, 0.25)]
    return Thing("hay bale", Role.PROP, tuple(parts))


def boulder(rng: np.random.Generator, width: float | None = None) -> Thing:
    """A stone made of a few overlapping ones; 0.3 to 1 m wide."""
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


def _clumps(
    rng: np.random.Generator, middle: Vector, half: Vector, green: Color, count: int, lowest: float = -0.75
) -> list[Part]:
    """Leafy balls strewn evenly near the surface of an ellipsoid, darker within and below, and its core."""
    green = vary(rng, green)
    tints = [_leaves(shade(green, factor), min(half) * 0.16) for factor in (0.6, 0.85, 1.0, 1.2)]
    parts = [ball((half[0] * 0.7, half[1] * 0.7, half[2] * 0.7), middle, tints[0])]
    for index in range(count):
        up = lowest + (1 - lowest) * (index + 0.5) / count
        angle = index * 2.39996  # the golden angle: no two above each other
        out = math.sqrt(max(0.0, 1 - up * up)) * rng.uniform(0.68, 0.92)
        size = rng.uniform(0.16, 0.3)
        position = (
            middle[0] + half[0] * out * math.cos(angle),
            middle[1] + half[1] * out * math.sin(angle),
            middle[2] + half[2] * up * rng.uniform(0.7, 0.88),
        )
        radii = (
            half[0] * size * rng.uniform(0.8, 1.3),
            half[1] * size,
            half[2] * size * rng.uniform(0.6, 0.9),
        )
        tint = tints[min(3, int((up + 1) / 2 * 3 + rng.uniform(0, 1)))]
        pose = Pose(position, rng.uniform(0, 180), rng.uniform(-30, 30), rng.uniform(-30, 30))
        parts.append(Part(Ball(radii), tint, pose))
    return parts
