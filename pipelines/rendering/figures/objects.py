"""Hand-held objects: bottles, apples and knives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.rendering.description import (
    Extrusion,
    Lathe,
    Material,
    Part,
    Pattern,
    Pose,
    Role,
    Thing,
    Vector,
)
from pipelines.rendering.parts import (
    bent_tube,
    cylinder,
    paint,
    pick,
    placed,
    softened,
    top_view,
    vary,
)

Profile = tuple[tuple[float, float], ...]

PAPERS = tuple(paint(srgb) for srgb in ("efe8d6", "e8e4dc", "c9a03a", "a5281f", "1f3f6a", "2f5d3a", "d9d0b8"))
CAPS = tuple(paint(srgb) for srgb in ("a5281f", "1f4f9a", "2f6a3a", "d8d8d6", "c9a03a", "26282a"))
STEEL = Material(paint("c9ccce"), roughness=0.3, metallic=True)


APPLE: Profile = (
    (0.0, 0.22), (0.12, 0.14), (0.28, 0.02), (0.42, 0.0), (0.6, 0.1), (0.78, 0.35), (0.92, 0.68),
    (0.99, 1.02), (0.99, 1.3), (0.92, 1.58), (0.78, 1.78), (0.6, 1.88), (0.42, 1.88), (0.27, 1.8),
    (0.15, 1.68), (0.0, 1.55),
)  # fmt: skip
"""Profile of an apple of radius 1, dimpled at both ends."""


@dataclass(frozen=True)
class _Bottle:
    """A kind of bottle; measures are in heights of the bottle unless said otherwise.

    Attributes:
        heights: range of real heights in metres.
        wall: profile from bottom to top.
        label: lower and upper edge of the label.
        cap: lower and upper edge of the cap, and its radius.
        colors: colours of the glass, "rrggbb".
    """

    heights: tuple[float, float]
    wall: Profile
    label: tuple[float, float]
    cap: tuple[float, float, float]
    colors: tuple[str, ...]


BOTTLES = (
    _Bottle(  # Bordeaux
        (0.29, 0.33),
        (
            (0, 0.012), (0.09, 0), (0.122, 0.012), (0.125, 0.03), (0.125, 0.6), (0.12, 0.65), (0.1, 0.69),
            (0.062, 0.73), (0.049, 0.76), (0.045, 0.8), (0.044, 0.94), (0.05, 0.95), (0.05, 0.98), (0, 0.985),
        ),
        (0.16, 0.48), (0.8, 1.0, 0.051), ("1f3320", "2f4a22", "3a2616", "243a2c"),
    ),
    _Bottle(  # Burgundy
        (0.28, 0.31),
        (
            (0, 0.012), (0.1, 0), (0.138, 0.015), (0.14, 0.04), (0.14, 0.42), (0.132, 0.5), (0.105, 0.6),
            (0.075, 0.7), (0.052, 0.8), (0.047, 0.87), (0.046, 0.94), (0.053, 0.95), (0.053, 0.98),
            (0, 0.985),
        ),
        (0.12, 0.36), (0.84, 1.0, 0.054), ("2f4a22", "5a6a2a", "b8b07a", "1f3320"),
    ),
    _Bottle(  # beer
        (0.22, 0.27),
        (
            (0, 0.012), (0.11, 0), (0.134, 0.015), (0.136, 0.035), (0.136, 0.5), (0.132, 0.56), (0.11, 0.64),
            (0.075, 0.73), (0.06, 0.8), (0.053, 0.93), (0.06, 0.945), (0.06, 0.97), (0, 0.975),
        ),
        (0.15, 0.45), (0.955, 1.0, 0.066), ("4a2a12", "3a2010", "2a4a24", "5a3416"),
    ),
    _Bottle(  # lemonade, waisted
        (0.24, 0.34),
        (
            (0, 0.015), (0.1, 0), (0.13, 0.02), (0.14, 0.09), (0.132, 0.2), (0.118, 0.3), (0.122, 0.4),
            (0.14, 0.52), (0.138, 0.6), (0.11, 0.7), (0.072, 0.8), (0.052, 0.88), (0.05, 0.93), (0, 0.935),
        ),
        (0.42, 0.6), (0.9, 1.0, 0.062), ("3a1a10", "c9641f", "b0301f", "6a9a2a", "c9a51f"),
    ),
    _Bottle(  # water
        (0.22, 0.32),
        (
            (0, 0.015), (0.1, 0), (0.135, 0.02), (0.14, 0.06), (0.132, 0.1), (0.14, 0.14), (0.132, 0.18),
            (0.14, 0.22), (0.14, 0.6), (0.132, 0.64), (0.14, 0.68), (0.12, 0.75), (0.075, 0.86), (0.055, 0.9),
            (0.055, 0.93), (0, 0.93),
        ),
        (0.3, 0.56), (0.905, 1.0, 0.066), ("8fb8cc", "a5c9d4", "6fa5c0", "9ac0a8"),
    ),
    _Bottle(  # milk or sauce, stout
        (0.18, 0.24),
        (
            (0, 0.015), (0.14, 0), (0.175, 0.02), (0.18, 0.05), (0.18, 0.55), (0.165, 0.63), (0.12, 0.74),
            (0.095, 0.82), (0.09, 0.88), (0, 0.885),
        ),
        (0.16, 0.48), (0.86, 1.0, 0.102), ("e4e0d2", "a5281f", "d0a82a", "6a3a1a", "dcd0b0"),
    ),
)  # fmt: skip


def bottle(rng: np.random.Generator) -> Thing:
    """Build a glossy bottle of wine, beer, water or the like with label and cap; 0.18 to 0.33 m high."""
    kind = pick(rng, BOTTLES)
    height = rng.uniform(*kind.heights)
    glass = Material(vary(rng, paint(pick(rng, kind.colors))), roughness=0.07)
    low, high, cap_radius = kind.cap
    body_radius = max(radius for radius, _ in kind.wall)
    parts = [
        _scaled(kind.wall, height, glass),
        _scaled(
            ((0, low), (cap_radius, low), (cap_radius, high - 0.008), (cap_radius * 0.9, high), (0, high)),
            height,
            Material(pick(rng, CAPS), 0.3),
        ),
        *_label(rng, body_radius + 0.002, kind.label, height),
    ]
    return Thing("bottle", Role.FOREGROUND, tuple(parts))


def _scaled(profile: Profile, height: float, material: Material, smooth: bool = True) -> Part:
    return Part(Lathe(tuple((radius * height, z * height) for radius, z in profile), smooth), material)


def _label(rng: np.random.Generator, radius: float, edges: tuple[float, float], height: float) -> list[Part]:
    """Build a paper label around the body, with two bands of another colour."""
    low, high = edges
    paper, ink = Material(pick(rng, PAPERS), 0.6), Material(vary(rng, pick(rng, CAPS)), 0.5)
    bands = [(low, high, paper), (low + 0.02, low + 0.05, ink)]
    middle = (low + high) / 2 + 0.02
    half = rng.uniform(0.03, 0.06)
    bands.append((middle - half, middle + half, ink))
    return [
        _scaled(
            ((0, a), (radius + 0.001 * index, a), (radius + 0.001 * index, b), (0, b)),
            height,
            material,
            smooth=False,
        )
        for index, (a, b, material) in enumerate(bands)
    ]


def apple(rng: np.random.Generator) -> Thing:
    """Build an apple with dimples, a stem and mostly a leaf; 7 to 9 cm wide."""
    radius = rng.uniform(0.035, 0.045)
    ground, blush = pick(
        rng,
        (
            ("a5161f", "c0301f"),
            ("ae1d1c", "b8402c"),
            ("7a9a2a", "95b03a"),
            ("b8ad3a", "b5823a"),
            ("8a1220", "b02a2a"),
        ),
    )
    skin = Material(
        vary(rng, paint(ground)),
        0.22,
        pattern=Pattern.NOISE,
        second_color=paint(blush),
        pattern_meters=radius * 0.8,
    )
    tall = radius * rng.uniform(0.85, 1.0)
    body = tuple((r * radius, z * tall) for r, z in softened(APPLE))
    wood = Material(paint("4a3520"))
    lean = rng.uniform(0.1, 0.3) * radius
    stem = bent_tube(
        ((0, 0, 1.5 * tall), (lean * 0.3, 0, 1.9 * tall), (lean, 0, 2.2 * tall)), 0.05 * radius, wood
    )
    parts = [Part(Lathe(body), skin), *stem]
    if rng.random() < 0.75:
        parts += _leaf(rng, (lean * 0.5, 0, 2.0 * tall), radius)
    return Thing("apple", Role.FOREGROUND, tuple(parts))


def _leaf(rng: np.random.Generator, base: Vector, length: float) -> list[Part]:
    """Build a pointed leaf of two halves that make a shallow trough."""
    green = Material(vary(rng, paint("4f7f2a")), 0.4)
    yaw = rng.uniform(0, 360)
    outline = ((0, 0), (0.3, -0.2), (0.62, -0.22), (1.1, 0.0), (0.62, 0.22), (0.3, 0.2))
    shape = Extrusion(tuple((x * length, y * length) for x, y in outline), 0.02 * length)
    return [
        Part(
            shape,
            green,
            Pose(base, yaw_degrees=yaw, pitch_degrees=-15, roll_degrees=-90 + rng.uniform(-25, 25)),
        )
    ]


def knife(rng: np.random.Generator) -> Thing:
    """Build a kitchen knife that lies on its side, slightly turned; 0.22 to 0.34 m long."""
    length = rng.uniform(0.12, 0.2)
    outline = pick(rng, (_chef, _paring, _bread, _cleaver))(length)
    grip_length, depth = rng.uniform(0.1, 0.13), rng.uniform(0.024, 0.03)
    grip = _handle(grip_length, depth)
    thick = 0.017
    handle = pick(
        rng,
        (
            Material(paint("1f1f20"), 0.4),
            Material(
                vary(rng, paint("6b4226")),
                0.45,
                pattern=Pattern.NOISE,
                second_color=paint("4a2c18"),
                pattern_meters=0.02,
            ),
            Material(vary(rng, paint(pick(rng, ("a5281f", "1f4f8a", "d0c8b8", "2f6a4a")))), 0.35),
        ),
    )
    level = (thick - 0.0025) / 2
    parts = [
        top_view(outline, 0.0025, (0, 0, level), STEEL),
        top_view(grip, thick, (0, 0, 0), handle, bevel=0.005),
        *(
            cylinder(0.0035, 0.0006, (-grip_length * share, depth * 0.05, thick), STEEL)
            for share in (0.25, 0.55, 0.82)
        ),
        top_view(
            ((-0.012, -depth * 0.48), (0.004, -depth * 0.48), (0.004, depth * 0.5), (-0.012, depth * 0.5)),
            thick * 0.9,
            (0, 0, thick * 0.05),
            STEEL,
            bevel=0.002,
        ),
    ]
    centered = placed(parts, by=((grip_length - length) / 2, 0, 0))
    return Thing("knife", Role.FOREGROUND, placed(centered, yaw=rng.uniform(-40, 40) + pick(rng, (0, 180))))


def _chef(length: float) -> Profile:
    """Return the outline of a blade with a curved edge and a straight back; its heel is at x = 0."""
    deep = length * 0.24
    return (
        (0, -deep * 0.65),
        (length * 0.45, -deep * 0.6),
        (length * 0.75, -deep * 0.35),
        (length * 0.92, 0),
        (length, deep * 0.3),
        (length * 0.6, deep * 0.36),
        (0, deep * 0.36),
    )


def _paring(length: float) -> Profile:
    deep = length * 0.14
    return (
        (0, -deep * 0.6),
        (length * 0.7, -deep * 0.6),
        (length * 0.9, -deep * 0.35),
        (length, deep * 0.1),
        (length * 0.7, deep * 0.4),
        (0, deep * 0.4),
    )


def _bread(length: float) -> Profile:
    """Return the outline of a blade with a serrated edge; its heel is at x = 0."""
    length, deep = length * 1.15, length * 0.15
    teeth = [
        (length * (index + half) / 22, -deep * (0.55 + 0.18 * (half > 0)))
        for index in range(21)
        for half in (0.0, 0.5)
    ]
    return (
        *teeth,
        (length * 0.96, -deep * 0.5),
        (length, deep * 0.1),
        (length * 0.95, deep * 0.4),
        (0, deep * 0.4),
    )


def _cleaver(length: float) -> Profile:
    deep = length * 0.42
    return (
        (0, -deep * 0.65),
        (length * 0.5, -deep * 0.7),
        (length, -deep * 0.62),
        (length * 1.01, deep * 0.3),
        (0, deep * 0.35),
    )


def _handle(length: float, depth: float) -> Profile:
    """Return the outline of a handle from its butt, thicker there, to the blade's heel at x = 0."""
    half = depth / 2
    return (
        (-length, -half * 0.9),
        (-length * 0.9, -half * 1.25),
        (-length * 0.7, -half * 0.95),
        (-length * 0.4, -half * 1.1),
        (0, -half * 0.85),
        (0, half),
        (-length * 0.5, half * 0.95),
        (-length * 0.92, half * 1.05),
        (-length, half * 0.6),
    )
