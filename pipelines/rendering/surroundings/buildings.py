"""Houses, facades and walls, with their windows and doors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.rendering.description import Color, Material, Part, Pattern, Role, Thing, Vector
from pipelines.rendering.parts import block, box, cylinder, paint, pick, placed, shade, side_view, vary

LOW_WALL_TOP_METERS = 0.9

STOREY_METERS = 3.0
GLASS = Material(paint("26303a"), roughness=0.08)
BRICKS = tuple(paint(srgb) for srgb in ("9a5a43", "a8674c", "7f4a3a", "b58463"))
PLASTERS = tuple(
    paint(srgb) for srgb in ("d9cdb8", "e3d9c6", "c9b99a", "d8d4cc", "b9c0c2", "d6b9a0", "c8c79f")
)
ROOFS = tuple(paint(srgb) for srgb in ("8a4b3a", "6b3f35", "55524f", "4a4644", "7a5a4a"))
DOORS = tuple(paint(srgb) for srgb in ("5a2a22", "2f4a3a", "24384f", "6a4a2f", "3a3a3a"))
FRAMES = tuple(paint(srgb) for srgb in ("efece4", "f4f2ee", "5b4636", "3d4246"))


@dataclass(frozen=True)
class _Dress:
    wall: Material
    frame: Material
    stone: Material
    door: Material
    roof: Material


def house(
    rng: np.random.Generator,
    width: float = 10.0,
    depth: float = 8.0,
    storeys: int = 2,
    gabled: bool | None = None,
) -> Thing:
    """Build a free-standing house with its door in front; its roof is gabled, or flat behind a parapet.

    Args:
        rng: source of all draws.
        width: metres along x without the eaves.
        depth: metres along y without the eaves.
        storeys: number of storeys of STOREY_METERS each, without the roof.
        gabled: whether the roof is gabled; None draws it.
    """
    dress = _dress(rng)
    height = storeys * STOREY_METERS
    parts = [
        block((width, depth, height), (0, 0, 0), dress.wall),
        block((width + 0.1, depth + 0.1, 0.45), (0, 0, 0), dress.stone),
        *_front(rng, width, depth, storeys, dress, has_door=True),
        *placed(_front(rng, width, depth, storeys, dress, has_door=False), yaw=180),
        *placed(_front(rng, depth, width, storeys, dress, has_door=False), yaw=90),
        *placed(_front(rng, depth, width, storeys, dress, has_door=False), yaw=-90),
    ]
    is_gabled = bool(rng.random() < 0.7) if gabled is None else gabled
    parts += _gable(rng, width, depth, height, dress) if is_gabled else _parapet(width, depth, height, dress)
    return Thing("house", Role.STRUCTURE, tuple(parts))


def facade(
    rng: np.random.Generator,
    width: float = 12.0,
    depth: float = 6.0,
    storeys: int = 4,
    shop: bool | None = None,
) -> Thing:
    """Build a house of a closed row: windows in front only, a cornice, and a shop window if `shop`."""
    dress = _dress(rng)
    height = storeys * STOREY_METERS + 0.4
    parts = [block((width, depth, height), (0, 0, 0), dress.wall)]
    has_shop = bool(rng.random() < 0.4) if shop is None else shop
    if has_shop:
        parts += _shop(rng, width, depth, dress)
        upper = _front(rng, width, depth, storeys - 1, dress, has_door=False)
        parts += placed(upper, by=(0, 0, STOREY_METERS + 0.4))
    else:
        parts += _front(rng, width, depth, storeys, dress, has_door=True)
        parts.append(block((width, 0.12, 0.5), (0, -depth / 2, 0), dress.stone))
    parts += [
        block((width, 0.5, 0.3), (0, -depth / 2, height - 0.3), dress.stone, bevel=0.04),
        block((width, 0.25, 0.16), (0, -depth / 2, STOREY_METERS + 0.25), dress.stone, bevel=0.03),
        block((width, depth, 0.25), (0, 0, height), dress.roof),
    ]
    return Thing("facade", Role.STRUCTURE, tuple(parts))


def low_wall(rng: np.random.Generator, length: float = 4.0) -> Thing:
    """Build a garden wall along x with coping stones, 0.35 m thick; its top is at LOW_WALL_TOP_METERS."""
    color = vary(rng, pick(rng, BRICKS))
    bricks = Material(color, pattern=Pattern.BRICKS, second_color=paint("b5aea2"), pattern_meters=0.24)
    coping = 0.07
    parts = (
        block((length, 0.25, LOW_WALL_TOP_METERS - coping), (0, 0, 0), bricks),
        block((length + 0.06, 0.35, coping), (0, 0, LOW_WALL_TOP_METERS - coping), _stone(rng), bevel=0.012),
    )
    return Thing("wall", Role.STRUCTURE, parts)


def window_frame(
    rng: np.random.Generator, width: float = 1.6, height: float = 1.5, thickness: float = 0.08
) -> Thing:
    """Build frame, crossbars and sill of a window without a pane, so that light comes in."""
    wood = Material(pick(rng, FRAMES), roughness=0.4)
    bar = 0.06
    inner = height - 2 * bar
    parts = [
        block((width, thickness, bar), (0, 0, 0), wood),
        block((width, thickness, bar), (0, 0, height - bar), wood),
        *(
            block((bar, thickness, inner), (x, 0, bar), wood)
            for x in (-(width - bar) / 2, 0.0, (width - bar) / 2)
        ),
        block((width - 2 * bar, thickness * 0.6, bar * 0.6), (0, 0, height * 0.66), wood),
        block((width + 0.1, 0.2, 0.035), (0, -0.1, -0.035), wood, bevel=0.008),
    ]
    return Thing("window frame", Role.STRUCTURE, tuple(parts))


def inner_door(rng: np.random.Generator) -> Thing:
    """Build a closed panelled door in its frame, 0.9 x 2.1 m, to stand against a wall."""
    color = pick(rng, (*FRAMES[:2], paint("8a6a48"), paint("6e4c33")))
    wood, panel = Material(color, roughness=0.45), Material(shade(color, 0.85), roughness=0.45)
    brass = Material(paint("c8a860"), roughness=0.25, metallic=True)
    parts = [
        block((1.08, 0.12, 2.18), (0, 0, 0), Material(shade(color, 0.92), roughness=0.5), bevel=0.01),
        block((0.9, 0.15, 2.08), (0, 0, 0), wood, bevel=0.008),
        *(block((0.3, 0.17, 0.75), (x, 0, z), panel, bevel=0.01) for x in (-0.2, 0.2) for z in (0.15, 1.15)),
        box((0.12, 0.03, 0.025), (0.33, -0.11, 1.03), brass, bevel=0.008),
    ]
    return Thing("door", Role.STRUCTURE, tuple(parts))


def column(rng: np.random.Generator, height: float = 5.0, radius: float = 0.3) -> Thing:
    """Build a round pillar on a square foot, for halls."""
    stone = _stone(rng)
    side = radius * 2.6
    parts = (
        block((side, side, 0.3), (0, 0, 0), stone, bevel=0.02),
        cylinder(radius, height - 0.6, (0, 0, 0.3), stone),
        block((side, side, 0.3), (0, 0, height - 0.3), stone, bevel=0.02),
    )
    return Thing("column", Role.STRUCTURE, parts)


def _dress(rng: np.random.Generator) -> _Dress:
    if rng.random() < 0.5:
        brick = vary(rng, pick(rng, BRICKS))
        wall = Material(brick, pattern=Pattern.BRICKS, second_color=paint("b0a698"), pattern_meters=0.25)
    else:
        plaster = vary(rng, pick(rng, PLASTERS), 0.1)
        wall = Material(plaster, pattern=Pattern.NOISE, second_color=shade(plaster, 0.85), pattern_meters=0.8)
    tiles = vary(rng, pick(rng, ROOFS))
    return _Dress(
        wall=wall,
        frame=Material(pick(rng, FRAMES), roughness=0.5),
        stone=_stone(rng),
        door=Material(pick(rng, DOORS), roughness=0.35),
        roof=Material(tiles, pattern=Pattern.STRIPES, second_color=shade(tiles, 0.6), pattern_meters=0.3),
    )


def _stone(rng: np.random.Generator) -> Material:
    color = vary(rng, paint("bdb5a6"), 0.1)
    return Material(color, pattern=Pattern.NOISE, second_color=shade(color, 0.8), pattern_meters=0.1)


def _front(
    rng: np.random.Generator, width: float, depth: float, storeys: int, dress: _Dress, has_door: bool
) -> list[Part]:
    """Build the windows of the face at y = -depth / 2, and a door in their middle if it has one."""
    columns = max(2, round(width / 2.6))
    pitch = width / columns
    tall = rng.uniform(1.35, 1.75)
    wide = min(pitch - 0.7, rng.uniform(1.0, 1.4))
    door_column = int(rng.integers(columns)) if has_door else -1
    parts: list[Part] = []
    for storey in range(storeys):
        for index in range(columns):
            x = (index + 0.5) * pitch - width / 2
            if storey == 0 and index == door_column:
                parts += _door((x, -depth / 2, 0.0), dress)
            else:
                parts += _window((x, -depth / 2, storey * STOREY_METERS + 0.95), wide, tall, dress)
    return parts


def _window(base: Vector, wide: float, tall: float, dress: _Dress) -> list[Part]:
    """Build two panes in a frame over a sill; `base` is on the wall below the panes' middle."""
    x, y, z = base
    pane = wide / 2 - 0.08
    return [
        block((wide, 0.1, tall), (x, y, z), dress.frame),
        *(block((pane, 0.12, tall - 0.14), (x + side * wide / 4, y, z + 0.07), GLASS) for side in (-1, 1)),
        block((wide + 0.2, 0.3, 0.09), (x, y, z - 0.09), dress.stone),
        block((wide + 0.2, 0.14, 0.18), (x, y, z + tall), dress.stone),
    ]


def _door(base: Vector, dress: _Dress) -> list[Part]:
    """Build a door with a light above it and two steps in front."""
    x, y, z = base
    return [
        block((1.35, 0.14, 2.65), (x, y, z), dress.frame),
        block((1.05, 0.18, 2.05), (x, y, z + 0.15), dress.door, bevel=0.02),
        block((1.05, 0.16, 0.32), (x, y, z + 2.25), GLASS),
        *(
            block((0.34, 0.2, 0.7), (x + side * 0.24, y, z + level), dress.door, bevel=0.02)
            for side in (-1, 1)
            for level in (0.3, 1.25)
        ),
        block((1.6, 0.9, 0.15), (x, y, z), dress.stone),
        block((0.12, 0.28, 0.03), (x + 0.4, y, z + 1.1), Material(paint("c8a860"), 0.25, metallic=True)),
    ]


def _shop(rng: np.random.Generator, width: float, depth: float, dress: _Dress) -> list[Part]:
    """Build a shop window under a coloured fascia, with a door and an awning."""
    color = Material(
        vary(rng, pick(rng, (*DOORS, paint("a03a30"), paint("d0a040"), paint("2a6a78")))), roughness=0.5
    )
    y = -depth / 2
    panes = max(2, round(width / 2.5))
    pitch = width / panes
    parts = [
        block((width - 0.4, 0.12, 2.9), (0, y, 0), color),
        block((width - 0.2, 0.35, 0.6), (0, y, 2.6), color, bevel=0.03),
        block((width - 0.4, 0.2, 0.45), (0, y, 0), dress.stone),
    ]
    for index in range(panes):
        x = (index + 0.5) * pitch - width / 2
        parts.append(block((pitch - 0.5, 0.16, 2.0), (x, y, 0.5), GLASS))
    if rng.random() < 0.6:
        parts.append(_awning(rng, width, y, color.color))
    return parts


def _awning(rng: np.random.Generator, width: float, y: float, color: Color) -> Part:
    cloth = Material(color, pattern=Pattern.STRIPES, second_color=paint("efe9dc"), pattern_meters=0.4)
    return box((width - 0.6, 1.3, 0.05), (0, y - 0.65, 2.45), cloth, roll=rng.uniform(15, 25))


def _gable(rng: np.random.Generator, width: float, depth: float, height: float, dress: _Dress) -> list[Part]:
    """Build two slopes about a ridge along x, the gables' walls below them, and a chimney."""
    rise = depth / 2 * rng.uniform(0.65, 0.95)
    eaves = 0.45
    thick = 0.22
    drop = eaves * rise / (depth / 2)
    under = ((-depth / 2, 0.0), (depth / 2, 0.0), (0.0, rise))
    reach = depth / 2 + eaves
    over = (
        (-reach, -drop),
        (0.0, rise),
        (reach, -drop),
        (reach, thick - drop),
        (0.0, rise + thick),
        (-reach, thick - drop),
    )
    x = width * rng.choice((-0.3, 0.3))
    return [
        side_view(under, width, (0, 0, height), dress.wall),
        side_view(over, width + 2 * eaves, (0, 0, height), dress.roof),
        block((0.7, 0.6, rise * 0.6 + 0.8), (float(x), depth * 0.15, height + rise * 0.55), dress.stone),
    ]


def _parapet(width: float, depth: float, height: float, dress: _Dress) -> list[Part]:
    return [
        block((width + 0.3, depth + 0.3, 0.2), (0, 0, height), dress.stone, bevel=0.03),
        block((width, depth, 0.5), (0, 0, height + 0.2), dress.wall),
        block((width + 0.2, depth + 0.2, 0.1), (0, 0, height + 0.7), dress.stone),
    ]
