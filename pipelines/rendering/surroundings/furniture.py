"""Furniture, plants and lamps of rooms and halls."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rendering.description import Extrusion, Material, Part, Pattern, Pose, Role, Thing, Vector
from pipelines.rendering.parts import (
    ball,
    block,
    cylinder,
    paint,
    pick,
    shade,
    softened,
    tube,
    turned_profile,
    vary,
)
from pipelines.rendering.surroundings.nature import GOLDEN_ANGLE, LEAF_GREENS
from pipelines.rendering.surroundings.street import wooden

TABLE_TOP_METERS = 0.75
LOW_TABLE_TOP_METERS = 0.42
SIDEBOARD_TOP_METERS = 0.8
FLOOR_LAMP_LIGHT: Vector = (0.0, 0.0, 1.45)
"""Position of the light of a `floor_lamp`: below its shade."""

CLOTHS = tuple(
    paint(srgb) for srgb in ("8c3b3b", "3f5f7a", "5b6b4a", "b39a6b", "7a6a85", "a8663f", "55585c", "c9bda6")
)
STEEL = Material(paint("b8bcc0"), roughness=0.3, metallic=True)
TURNS = tuple(float(turn) for turn in np.radians(np.linspace(0, 130, 8)))


def table(rng: np.random.Generator, width: float = 1.6, depth: float = 0.9) -> Thing:
    """Build a rectangular dining table on four legs; its top is at TABLE_TOP_METERS."""
    return _table(rng, width, depth, TABLE_TOP_METERS)


def low_table(rng: np.random.Generator, width: float = 1.0, depth: float = 0.55) -> Thing:
    """Build a table to stand in front of a couch; its top is at LOW_TABLE_TOP_METERS."""
    return _table(rng, width, depth, LOW_TABLE_TOP_METERS)


def _table(rng: np.random.Generator, width: float, depth: float, top: float) -> Thing:
    board = pick(rng, (wooden(rng, 0.4), wooden(rng, 0.4), Material(paint("e2ded6"), 0.3)))
    legs = pick(rng, (board, Material(paint("2b2b2d"), 0.5)))
    thick = 0.035
    leg = rng.uniform(0.045, 0.08)
    inset = 0.06
    x, y = width / 2 - inset - leg / 2, depth / 2 - inset - leg / 2
    parts = [block((width, depth, thick), (0, 0, top - thick), board, bevel=0.008)]
    parts += [
        block((leg, leg, top - thick), (sx * x, sy * y, 0), legs, bevel=0.005)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    parts += [block((2 * x, 0.025, 0.07), (0, sy * y, top - thick - 0.07), legs) for sy in (-1, 1)]
    parts += [block((0.025, 2 * y, 0.07), (sx * x, 0, top - thick - 0.07), legs) for sx in (-1, 1)]
    return Thing("table", Role.STRUCTURE, tuple(parts))


def round_table(rng: np.random.Generator, radius: float = 0.4) -> Thing:
    """Build a cafe table on one foot; its top is at TABLE_TOP_METERS."""
    board = pick(
        rng,
        (
            wooden(rng, 0.4),
            Material(vary(rng, paint("d0cabd")), 0.25),
            Material(vary(rng, paint("3a3c3e")), 0.4),
        ),
    )
    iron = Material(paint("2b2b2d"), 0.4)
    top = TABLE_TOP_METERS
    parts = (
        turned_profile(
            (
                (0, 0),
                (radius * 0.6, 0),
                (radius * 0.55, 0.02),
                (0.04, 0.05),
                (0.03, top - 0.1),
                (0.1, top - 0.03),
                (0, top - 0.03),
            ),
            (0, 0, 0),
            iron,
        ),
        cylinder(radius, 0.03, (0, 0, top - 0.03), board),
    )
    return Thing("table", Role.STRUCTURE, parts)


def sideboard(rng: np.random.Generator, width: float = 1.6) -> Thing:
    """Build a chest with doors or drawers in front; its top is at SIDEBOARD_TOP_METERS."""
    wood = pick(
        rng, (wooden(rng, 0.4), Material(paint("e6e2da"), 0.35), Material(vary(rng, pick(rng, CLOTHS)), 0.4))
    )
    front = Material(shade(wood.color, rng.uniform(0.8, 1.1)), 0.4)
    knob = pick(rng, (STEEL, Material(paint("c8a860"), 0.25, metallic=True), Material(paint("2b2b2d"), 0.4)))
    top = SIDEBOARD_TOP_METERS
    depth = 0.42
    foot = 0.12
    parts = [
        block((width, depth, top - foot), (0, 0, foot), wood, bevel=0.008),
        *(
            block((0.05, 0.05, foot), (sx * (width / 2 - 0.06), sy * 0.15, 0), wood)
            for sx in (-1, 1)
            for sy in (-1, 1)
        ),
    ]
    rows, columns = pick(rng, ((1, 3), (3, 2), (2, 3), (1, 4)))
    cell = width / columns
    tall = (top - foot - 0.06) / rows
    for row in range(rows):
        for column in range(columns):
            x, z = (column + 0.5) * cell - width / 2, foot + 0.03 + row * tall
            parts.append(block((cell - 0.03, 0.03, tall - 0.02), (x, -depth / 2, z), front, bevel=0.005))
            parts.append(ball((0.014, 0.02, 0.014), (x, -depth / 2 - 0.025, z + tall * 0.6), knob))
    return Thing("sideboard", Role.STRUCTURE, tuple(parts))


def bookshelf(rng: np.random.Generator, width: float = 1.0, height: float = 1.9) -> Thing:
    """Build a shelf with rows of books of many colours, to stand against a wall at +y."""
    wood = pick(rng, (wooden(rng, 0.5), Material(paint("e6e2da"), 0.4), Material(paint("3d342c"), 0.45)))
    depth = 0.3
    board = 0.025
    shelves = max(2, round(height / 0.36))
    parts = [block((board, depth, height), (side * (width - board) / 2, 0, 0), wood) for side in (-1, 1)]
    parts.append(block((width, 0.01, height), (0, depth / 2 - 0.005, 0), Material(shade(wood.color, 0.7))))
    for index in range(shelves + 1):
        z = (height - board) * index / shelves
        parts.append(block((width - 2 * board, depth - 0.01, board), (0, -0.005, z), wood))
        if index < shelves:
            parts += _books(rng, width - 2 * board, z + board, height / shelves - 2 * board)
    return Thing("bookshelf", Role.STRUCTURE, tuple(parts))


def _books(rng: np.random.Generator, width: float, base: float, room: float) -> list[Part]:
    """Build a row of upright books that may end in a gap, or a vase in its place."""
    x = -width / 2 + 0.01
    end = width / 2 - rng.uniform(0.02, 0.45 * width)
    parts: list[Part] = []
    while x < end - 0.05:
        thick, tall, deep = rng.uniform(0.018, 0.05), room * rng.uniform(0.6, 0.92), rng.uniform(0.15, 0.22)
        cover = Material(vary(rng, pick(rng, CLOTHS), 0.35), 0.5)
        parts.append(block((thick, deep, tall), (x + thick / 2, 0.04 - deep / 2 + 0.05, base), cover))
        x += thick + 0.002
    if width / 2 - x > 0.25:
        parts += _vase(rng, (x + 0.14, 0.0, base), room * 0.6)
    return parts


def _vase(rng: np.random.Generator, base: Vector, height: float) -> list[Part]:
    glaze = Material(vary(rng, pick(rng, CLOTHS), 0.3), 0.15)
    belly = height * rng.uniform(0.25, 0.4)
    wall = ((belly * 0.6, 0.0), (belly, height * 0.4), (belly * 0.4, height * 0.8), (belly * 0.6, height))
    return [turned_profile(softened(wall), base, glaze)]


def vase(rng: np.random.Generator) -> Thing:
    """Build a glazed vase, 0.2 to 0.35 m high."""
    return Thing("vase", Role.PROP, tuple(_vase(rng, (0, 0, 0), rng.uniform(0.2, 0.35))))


def rug(rng: np.random.Generator, width: float = 2.4, depth: float = 1.6) -> Thing:
    """Build a bordered or striped carpet, 1.2 cm thick."""
    color, other = vary(rng, pick(rng, CLOTHS)), vary(rng, pick(rng, CLOTHS))
    pattern = pick(rng, (Pattern.STRIPES, Pattern.CHECKER, Pattern.NOISE, Pattern.PLAIN))
    inner = Material(color, pattern=pattern, second_color=other, pattern_meters=rng.uniform(0.15, 0.5))
    parts = (
        block((width, depth, 0.01), (0, 0, 0), Material(shade(other, 0.7))),
        block((width - 0.2, depth - 0.2, 0.012), (0, 0, 0), inner),
    )
    return Thing("rug", Role.PROP, parts)


def picture(rng: np.random.Generator, width: float = 0.8, height: float = 0.6) -> Thing:
    """Build a framed picture of coloured fields, its lower edge on z = 0, to hang at a wall at +y."""
    frame = Material(pick(rng, (paint("2b2622"), paint("7a5a3c"), paint("c0a060"), paint("e8e4dc"))), 0.4)
    paper = Material(paint("ece7dc"))
    bar = 0.04
    parts = [
        block((width, 0.035, height), (0, 0, 0), frame, bevel=0.008),
        block((width - 2 * bar, 0.04, height - 2 * bar), (0, 0, bar), paper),
    ]
    for _ in range(int(rng.integers(3, 6))):
        wide, tall = width * rng.uniform(0.12, 0.4), height * rng.uniform(0.12, 0.4)
        x = rng.uniform(-1, 1) * (width / 2 - bar - 0.04 - wide / 2)
        z = rng.uniform(bar + 0.04, height - bar - 0.04 - tall)
        thick = 0.042 + 0.002 * len(parts)
        parts.append(block((wide, thick, tall), (x, 0, z), Material(vary(rng, pick(rng, CLOTHS), 0.3))))
    return Thing("picture", Role.PROP, tuple(parts))


def potted_plant(rng: np.random.Generator, height: float | None = None) -> Thing:
    """Build a pot with long leaves; 0.5 to 1.3 m high."""
    height = rng.uniform(0.5, 1.3) if height is None else height
    pot_height = 0.28 * height + 0.08
    radius = 0.14 * height + 0.06
    pot = Material(
        vary(rng, pick(rng, (paint("a85f3f"), paint("dcd6ca"), paint("3d4246"), paint("4a6a75")))), 0.45
    )
    soil = Material(paint("33261c"))
    profile = (
        (0, 0),
        (radius * 0.7, 0),
        (radius, pot_height),
        (radius * 0.85, pot_height),
        (0, pot_height * 0.9),
    )
    parts = [
        turned_profile(profile, (0, 0, 0), pot, smooth=False),
        cylinder(radius * 0.85, 0.01, (0, 0, pot_height * 0.95), soil),
    ]
    green = vary(rng, pick(rng, LEAF_GREENS))
    for index in range(22):
        leaf = Material(shade(green, rng.uniform(0.8, 1.6)), 0.5)
        rise = (height - pot_height) * rng.uniform(0.4, 1.0)
        shape = _strap(rise, reach=height * rng.uniform(0.15, 0.4), width=0.025 + 0.03 * height)
        parts.append(
            Part(shape, leaf, Pose((0, 0, pot_height * 0.9), yaw_degrees=math.degrees(index * GOLDEN_ANGLE)))
        )
    return Thing("plant", Role.VEGETATION, tuple(parts))


def _strap(rise: float, reach: float, width: float) -> Extrusion:
    """Build a long leaf that rises, then arches towards +x."""
    half = reach / 1.64  # an arc of an ellipse, ended at 130 degrees
    arcs = [
        [(half - (half + thick) * math.cos(turn), (rise + thick) * math.sin(turn)) for turn in TURNS]
        for thick in (0.0, 0.004)
    ]
    return Extrusion((*arcs[0], *arcs[1][::-1]), width)


def floor_lamp(rng: np.random.Generator) -> Thing:
    """Build a cloth shade on a thin stand, 1.65 m high; its light belongs at FLOOR_LAMP_LIGHT."""
    iron = pick(rng, (Material(paint("2b2b2d"), 0.4), Material(paint("c8a860"), 0.25, metallic=True)))
    cloth = Material(vary(rng, pick(rng, (paint("efe6d2"), paint("d8c8a8"), paint("a8663f"))), 0.1))
    low, high = 1.35, 1.65
    shade_profile = ((0.16, high), (0.165, high), (0.235, low), (0.23, low), (0.16, high))
    parts = (
        turned_profile(
            ((0, 0), (0.16, 0), (0.15, 0.02), (0.014, 0.03), (0.01, low), (0, low)), (0, 0, 0), iron
        ),
        turned_profile(shade_profile, (0, 0, 0), cloth, smooth=False),
    )
    return Thing("floor lamp", Role.PROP, parts)


def ceiling_lamp(rng: np.random.Generator, drop: float = 0.8) -> Thing:
    """Build a bowl on a cord that hangs from z = 0; its light belongs at (0, 0, -drop)."""
    metal = Material(
        vary(rng, pick(rng, (paint("2b2b2d"), paint("d8d4cc"), paint("a03a30"), paint("3f5f7a")))), 0.4
    )
    bowl = ((0.05, 0.22), (0.25, 0.04), (0.255, 0.045), (0.055, 0.228), (0.05, 0.22))
    parts = (
        tube((0, 0, -drop + 0.2), (0, 0, -0.01), 0.006, metal),
        turned_profile(bowl, (0, 0, -drop), metal),
    )
    return Thing("ceiling lamp", Role.PROP, parts)
