"""Backgrounds of scenes: land, paths, distant woods and hills; walls with openings, stands and masts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipelines.rendering.description import (
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
from pipelines.rendering.parts import ball, block, box, paint, pick, shade, tube, vary
from pipelines.rendering.scenes.stage import Stage
from pipelines.rendering.surroundings.nature import LEAF_GREENS, NEEDLE_GREENS

LAND_METERS = 900.0
GRASSES = tuple(paint(srgb) for srgb in ("6d8a45", "7d8f4a", "5f7d3f", "8a9150"))
SOILS = tuple(paint(srgb) for srgb in ("a08a66", "b09a74", "94836a", "a89a86"))
SODIUM: Color = (1.0, 0.62, 0.3)
WARM_WHITE: Color = (1.0, 0.78, 0.52)
COOL_WHITE: Color = (0.9, 0.95, 1.0)


def mingled(color: Color, other: Color, grain_meters: float, roughness: float = 1.0) -> Material:
    """Build a material of two colours that blend, such as grass, asphalt or plaster."""
    return Material(color, roughness, pattern=Pattern.NOISE, second_color=other, pattern_meters=grain_meters)


def bright(color: Color, intensity: float) -> Color:
    """Return the intensity of a lamp of a colour."""
    red, green, blue = color
    return (red * intensity, green * intensity, blue * intensity)


def land(stage: Stage, color: Color, grain_meters: float = 1.5) -> None:
    """Put level ground to the horizon, with hills at its end."""
    rng = stage.rng
    soil = mingled(color, shade(color, rng.uniform(0.6, 0.8)), grain_meters)
    stage.put(_slab("land", (LAND_METERS, LAND_METERS), soil), (0, 0, 0))
    turn = rng.uniform(0, 360)
    for index in range(5):
        angle = math.radians(turn + 72 * index + rng.uniform(-25, 25))
        distance = rng.uniform(260, 330)
        width = rng.uniform(70, 150)
        far = shade(vary(rng, color), 0.7)
        hill = ball((width, width * 0.8, rng.uniform(9, 30)), (0, 0, -2), mingled(far, shade(far, 0.7), 9))
        at = (distance * math.cos(angle), distance * math.sin(angle), 0)
        stage.put(Thing("hill", Role.GROUND, (hill,)), at, math.degrees(angle) + 90)


def woods_around(stage: Stage, nearest: float, farthest: float, count: int) -> None:
    """Put woods in most directions, at distances in metres."""
    turn = stage.rng.uniform(0, 360)
    for index in range(count):
        angle = turn + 360 * (index + stage.rng.uniform(-0.3, 0.3)) / count
        distance = stage.rng.uniform(nearest, farthest)
        at = (distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle)), 0)
        stage.put(wood(stage.rng, stage.rng.uniform(0.5, 0.9) * distance), at, angle + 90)


def wood(rng: np.random.Generator, length: float) -> Thing:
    """Build the edge of a distant wood along x, of crowns behind crowns."""
    green = pick(rng, (*LEAF_GREENS, *NEEDLE_GREENS))
    parts = []
    for index in range(22):
        high = rng.uniform(5, 12)
        tint = shade(vary(rng, green, 0.3), rng.uniform(0.6, 1.0))
        wide = high * rng.uniform(0.35, 0.6)
        x = length * ((index + rng.uniform(-0.4, 0.4)) / 21 - 0.5)
        crown = Foliage((wide, wide, high * 0.5), 110, high * 0.12, int(rng.integers(2**31)), 0.8)
        parts.append(Part(crown, Material(tint), Pose((x, rng.uniform(-5, 5), high * 0.48))))
    return Thing("wood", Role.VEGETATION, tuple(parts))


def ribbon(name: str, points: Sequence[tuple[float, float]], width: float, material: Material) -> Thing:
    """Build a path of even width along the points; its top is 1.5 cm above its position."""
    line = np.array(points, dtype=float)
    ahead = np.gradient(line, axis=0)
    left = np.stack([-ahead[:, 1], ahead[:, 0]], 1) / np.linalg.norm(ahead, axis=1, keepdims=True)
    rim = np.concatenate([line - left * width / 2, (line + left * width / 2)[::-1]])
    outline = tuple((float(x), float(y)) for x, y in rim)
    # After the roll the outline's z runs along y, and the extrusion along y stands upright.
    part = Part(Extrusion(outline, 0.06), material, Pose((0, 0, -0.015), roll_degrees=-90))
    return Thing(name, Role.GROUND, (part,))


def wall(
    length: float,
    height: float,
    openings: Sequence[tuple[float, float, float, float]],
    material: Material,
    thickness: float = 0.25,
) -> Thing:
    """Build a wall along x whose inner face is on y = 0 and faces -y.

    Args:
        length: metres.
        height: metres.
        openings: (middle, width, sill height, height) of each, from left to right; none may touch.
        material: material of the wall.
        thickness: metres.
    """

    def stretch(left: float, right: float, bottom: float, top: float) -> Part:
        middle = ((left + right) / 2, thickness / 2, bottom)
        return block((right - left, thickness, top - bottom), middle, material)

    parts = []
    start = -length / 2
    for middle, wide, sill, tall in openings:
        left, right = middle - wide / 2, middle + wide / 2
        parts.append(stretch(start, left, bottom=0, top=height))
        parts.append(stretch(left, right, bottom=0, top=sill))
        parts.append(stretch(left, right, bottom=sill + tall, top=height))
        start = right
    parts.append(stretch(start, length / 2, bottom=0, top=height))
    return Thing("wall", Role.STRUCTURE, tuple(parts))


def ceiling(width: float, depth: float, material: Material) -> Thing:
    """Build a slab whose underside is z = 0."""
    return Thing("ceiling", Role.STRUCTURE, (block((width, depth, 0.25), (0, 0, 0), material),))


def floor(width: float, depth: float, material: Material) -> Thing:
    """Build a slab whose top is 2 cm above z = 0, so that it covers the land."""
    return _slab("floor", (width, depth), material, top=0.02)


def grandstand(rng: np.random.Generator, length: float) -> Thing:
    """Build rows of coloured seats that rise towards +y, beneath a roof."""
    concrete = mingled(paint("a8a59e"), paint("94918a"), 0.5)
    steel = Material(vary(rng, paint("8a8f94")), 0.5)
    seats = [Material(vary(rng, paint(srgb), 0.2), 0.5) for srgb in pick(rng, SEATS)]
    rows = 7
    parts = []
    for row in range(rows):
        y, z = 0.9 * row, 0.9 + 0.45 * row
        parts.append(block((length, 0.9, z), (0, y, 0), concrete))
        blocks = round(length / 3)
        for index in range(blocks):
            x = length * ((index + 0.5) / blocks - 0.5)
            parts.append(
                block((2.6, 0.4, 0.42), (x, y + 0.2, z), seats[(index * 3 + row) % len(seats)], 0.05)
            )
    high, deep = 0.45 * rows + 5, 0.9 * rows
    parts.append(box((length + 1, deep + 2, 0.25), (0, deep / 2 - 0.8, high), steel, roll=-5))
    parts += [
        tube((x, deep, 0), (x, deep, high), 0.18, steel) for x in np.linspace(-length / 2, length / 2, 5)
    ]
    return Thing("grandstand", Role.STRUCTURE, tuple(parts))


SEATS = (("b3261e", "d8d6d0"), ("2a4f9a", "d8d6d0", "2a4f9a"), ("d09a2a", "3a3d40"), ("2f6f4a", "d8d6d0"))
MAST_LIGHT: Vector = (0.0, -0.5, 11.6)
"""Position of the light of a `floodlight_mast`."""


def floodlight_mast(rng: np.random.Generator) -> Thing:
    """Build a mast with a board of floodlights towards -y; its light belongs at MAST_LIGHT."""
    steel = Material(vary(rng, paint("9a9da0")), 0.5)
    lens = Material(paint("e8ecee"), 0.15)
    parts = [tube((0, 0, 0), (0, 0, 11.5), 0.2, steel, 0.1), block((2.4, 0.12, 1.2), (0, -0.1, 11), steel)]
    parts += [
        block((0.6, 0.2, 0.4), (x, -0.25, z), lens, 0.04) for x in (-0.8, 0.0, 0.8) for z in (11.1, 11.65)
    ]
    return Thing("floodlight", Role.PROP, tuple(parts))


def _slab(name: str, size: tuple[float, float], material: Material, top: float = 0.0) -> Thing:
    return Thing(name, Role.GROUND, (block((*size, 0.5), (0, 0, top - 0.5), material),))
