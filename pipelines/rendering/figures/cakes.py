"""Layer cakes."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rendering.description import Color, Material, Part, Pattern, Role, Thing, Vector
from pipelines.rendering.parts import (
    ball,
    cylinder,
    paint,
    pick,
    placed,
    shade,
    top_view,
    tube,
    turned_profile,
    vary,
)

PORCELAIN = Material(paint("e9e7e2"), roughness=0.12)
SPONGES = ("d9b070", "5a3420", "b5603a", "e0c890", "8a2a2a")
ICINGS = ("f2ece0", "e8a5b5", "5a3018", "f0e0a0", "b8d8e0", "d8b8d8")
FILLINGS = ("f2e8d8", "b02a3a", "4a2412", "e8c860")
FRUITS = ("9a0f1f", "b81f2a", "2a2a5a")
CANDLES = ("a5281f", "1f4f9a", "2f6a3a")


def cake(rng: np.random.Generator) -> Thing:
    """Build a layer cake on a plate of 0.24 to 0.35 m, often without a slice, with fruit or candles."""
    radius = rng.uniform(0.09, 0.13)
    sponge = Material(
        vary(rng, paint(pick(rng, SPONGES))),
        pattern=Pattern.NOISE,
        second_color=paint("7a5030"),
        pattern_meters=0.01,
    )
    icing = Material(vary(rng, paint(pick(rng, ICINGS))), 0.35)
    filling = Material(paint(pick(rng, FILLINGS)), 0.5)
    cut = rng.uniform(35, 55) if rng.random() < 0.6 else 0.0
    layers = int(rng.integers(2, 5))
    layer = rng.uniform(0.024, 0.032)
    plate = 0.018
    parts = [_plate(radius * 1.35)]
    for index in range(layers):
        low = plate + index * (layer + 0.006)
        parts.append(top_view(_pie(radius - 0.004, cut), layer, (0, 0, low), sponge))
        parts.append(top_view(_pie(radius - 0.003, cut), 0.006, (0, 0, low + layer), filling))
    top = plate + layers * (layer + 0.006)
    has_coat = bool(rng.random() < 0.65)
    if has_coat:
        parts.append(top_view(_coat(radius, cut), top - plate, (0, 0, plate), icing))
    parts.append(top_view(_pie(radius + 0.004, cut), 0.014, (0, 0, top - 0.003), icing, bevel=0.005))
    parts += _drips(rng, radius, cut, top, icing)
    parts += _topping(rng, radius, cut, top + 0.011, icing)
    turned = placed(parts, yaw=-90 - cut / 2 + rng.uniform(-40, 40))
    return Thing("cake", Role.FOREGROUND, turned)


def _arc(radius: float, start: float, end: float, count: int = 48) -> list[tuple[float, float]]:
    angles = np.radians(np.linspace(start, end, count))
    return [(float(radius * math.cos(a)), float(radius * math.sin(a))) for a in angles]


def _pie(radius: float, cut: float) -> list[tuple[float, float]]:
    """Return the outline of a disc, without the sector from 0 to `cut` degrees."""
    return [(0.0, 0.0), *_arc(radius, cut, 360)] if cut else _arc(radius, 0, 360, 49)[:-1]


def _coat(radius: float, cut: float) -> list[tuple[float, float]]:
    """Return the outline of the icing around the cake, open where the slice was cut."""
    if not cut:
        return _pie(radius, 0)
    return [*_arc(radius, cut, 360), *_arc(radius - 0.006, 360, cut)]


def _plate(radius: float) -> Part:
    profile = (
        (0, 0.002),
        (radius * 0.55, 0),
        (radius * 0.6, 0.004),
        (radius, 0.016),
        (radius * 0.99, 0.019),
        (radius * 0.62, 0.01),
        (0, 0.01),
    )
    return turned_profile(profile, (0, 0, 0), PORCELAIN)


def _around(radius: float, cut: float, count: int) -> list[tuple[float, float]]:
    """Return evenly spaced points of a circle, none within the cut."""
    span = 360 - cut
    return [_arc(radius, cut + span * (index + 0.5) / count, 0, 1)[0] for index in range(count)]


def _drips(rng: np.random.Generator, radius: float, cut: float, top: float, icing: Material) -> list[Part]:
    return [
        tube((x, y, top + 0.002), (x, y, top - rng.uniform(0.008, 0.032)), 0.006, icing, 0.007)
        for x, y in _around(radius + 0.001, cut, 20)
    ]


def _topping(rng: np.random.Generator, radius: float, cut: float, top: float, icing: Material) -> list[Part]:
    """Build dabs of cream with cherries or berries on them, or with candles."""
    cream = Material(shade(icing.color, 1.3) if max(icing.color) > 0.4 else paint("f2ece0"), 0.4)
    count = int(rng.integers(7, 12))
    dab = ((0, 0), (0.016, 0), (0.017, 0.005), (0.011, 0.011), (0.012, 0.014), (0.005, 0.02), (0, 0.024))
    parts = [turned_profile(dab, (x, y, top), cream) for x, y in _around(radius * 0.8, cut, count)]
    if rng.random() < 0.5:
        fruit = Material(paint(pick(rng, FRUITS)), 0.12)
        parts += [
            ball((0.011, 0.011, 0.011), (x, y, top + 0.026), fruit)
            for x, y in _around(radius * 0.8, cut, count)
        ]
        return [
            *parts,
            *(
                ball((0.011, 0.011, 0.01), (x, y, top + 0.008), fruit)
                for x, y in _around(radius * 0.35, cut, 5)
            ),
        ]
    for x, y in _around(radius * 0.45, cut, int(rng.integers(3, 7))):
        parts += _candle((x, y, top), paint(pick(rng, CANDLES)))
    return parts


def _candle(base: Vector, color: Color) -> list[Part]:
    x, y, z = base
    wax = Material(color, 0.4, pattern=Pattern.STRIPES, second_color=paint("f0ece4"), pattern_meters=0.012)
    flame = ((0, 0), (0.0035, 0.004), (0.004, 0.007), (0.0025, 0.013), (0, 0.02))
    return [
        cylinder(0.0035, 0.06, base, wax),
        tube((x, y, z + 0.058), (x, y, z + 0.066), 0.0006, Material(paint("202020"))),
        turned_profile(flame, (x, y, z + 0.064), Material(paint("ffb52a"))),
    ]
