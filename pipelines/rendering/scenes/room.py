"""A living room with a garden outside."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.rendering.description import Color, Role, Thing, Vector
from pipelines.rendering.parts import paint, pick, shade, vary
from pipelines.rendering.scenes import props
from pipelines.rendering.scenes.backdrop import (
    GRASSES,
    WARM_WHITE,
    bright,
    ceiling,
    floor,
    land,
    mingled,
    wall,
    woods_around,
)
from pipelines.rendering.scenes.stage import Stage, Use, moved
from pipelines.rendering.surroundings import buildings, furniture, nature

WALLPAINTS = tuple(
    paint(srgb) for srgb in ("ece6da", "e2ddd2", "d8dccf", "d3dbe0", "e6d6c4", "dfc9b8", "c7d0c4", "e8e2b8")
)
FLOORS = tuple(paint(srgb) for srgb in ("a67c52", "8a623e", "b8925f", "6e4e36", "b9ab98"))
WHITE = paint("f0eeea")
FLOOR_METERS = 0.02


@dataclass(frozen=True)
class Side:
    """One of the four walls, seen from inside.

    Attributes:
        yaw: turn of a thing that stands with its back to the wall, degrees.
        length: metres.
        distance: distance from the room's middle, metres.
    """

    yaw: float
    length: float
    distance: float

    def at(self, along: float, depth: float, height: float = FLOOR_METERS) -> Vector:
        """Return the middle of a thing that is `depth` metres deep and stands against the wall."""
        return moved((0, 0, height), along, self.distance - depth / 2 - 0.03, self.yaw)


def build(stage: Stage) -> None:
    """Build a room with couch, dining table, cupboards and pictures; two of its walls have windows."""
    rng = stage.rng
    width, depth, height = rng.uniform(6, 8), rng.uniform(5.2, 6.8), rng.uniform(2.5, 2.9)
    land(stage, pick(rng, GRASSES))
    woods_around(stage, 40, 70, 4)
    _garden(stage)
    boards = pick(rng, FLOORS)
    stage.put(floor(width + 0.5, depth + 0.5, mingled(boards, shade(boards, 0.75), 0.25, 0.45)), (0, 0, 0))
    stage.put(ceiling(width + 0.5, depth + 0.5, mingled(WHITE, shade(WHITE, 0.96), 1)), (0, 0, height))
    sides = walls(width, depth)
    color = vary(rng, pick(rng, WALLPAINTS), 0.06)
    first = int(rng.integers(4))
    couch, window, shelf, second_window = (sides[(first + turn) % 4] for turn in range(4))
    _window_wall(stage, window, height, color)
    _window_wall(stage, second_window, height, color)
    _plain_wall(stage, couch, height, color)
    _plain_wall(stage, shelf, height, color)
    stage.room = (
        (0.25 - width / 2, 0.25 - depth / 2, 0.2),
        (width / 2 - 0.25, depth / 2 - 0.25, height - 0.2),
    )
    _sitting_corner(stage, couch)
    _shelves(stage, shelf)
    _dining(stage, second_window, height)
    _corners(stage, width, depth)
    middle = stage.offer(Use.WALKING, (0, 0, FLOOR_METERS), (width / 2 - 0.6, depth / 2 - 0.6))
    stage.offer(Use.SITTING, middle.center, middle.half)
    props.scatter(stage, "human", int(rng.integers(1, 3)), middle)


def walls(width: float, depth: float) -> tuple[Side, Side, Side, Side]:
    """Return the walls at +y, -x, -y and +x."""
    return (
        Side(0, width, depth / 2),
        Side(90, depth, width / 2),
        Side(180, width, depth / 2),
        Side(270, depth, width / 2),
    )


def _window_wall(stage: Stage, side: Side, height: float, color: Color) -> None:
    """Put a wall with large windows."""
    rng = stage.rng
    count = max(1, round(side.length / rng.uniform(2.2, 3.2)))
    pitch = side.length / count
    wide = pitch - rng.uniform(0.6, 0.9)
    sill = pick(rng, (0.45, 0.8, 0.9))
    tall = min(height - 0.3, rng.uniform(2.15, 2.35)) - sill
    spots = [pitch * (index + 0.5) - side.length / 2 for index in range(count)]
    openings = [(x, wide, sill, tall) for x in spots]
    plaster = mingled(color, shade(color, 0.95), 0.5)
    stage.put(wall(side.length + 0.5, height, openings, plaster), side.at(0, -0.06, 0), side.yaw)
    frame = buildings.window_frame(rng, wide, tall)
    for x in spots:
        stage.put(frame, side.at(x, -0.2, sill), side.yaw)


def _plain_wall(stage: Stage, side: Side, height: float, color: Color) -> None:
    plaster = mingled(color, shade(color, 0.95), 0.5)
    stage.put(wall(side.length + 0.5, height, [], plaster), side.at(0, -0.06, 0), side.yaw)


def _sitting_corner(stage: Stage, side: Side) -> None:
    """Put a couch with pictures over it, a rug and a low table in front of it, and a lamp beside it."""
    rng = stage.rng
    along = rng.uniform(-0.2, 0.2) * side.length / 2
    stage.put(furniture.rug(rng), side.at(along, 2.9), side.yaw, Role.GROUND)
    if rng.random() < 0.5:
        stage.put_if_free(props.figure(stage, "couch"), side.at(along, 1.05), side.yaw)
    else:
        stage.offer(Use.SITTING, side.at(along, 1.1), (0.4, 0.02), side.yaw, heading=side.yaw)
    at = side.at(along + rng.uniform(-0.2, 0.2), 3.1)
    props.put_top(stage, props.low_table(stage), at, side.yaw, others=1)
    for x in (along - 0.6, along + 0.6):
        picture = furniture.picture(rng, rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.7))
        stage.put_if_free(picture, side.at(x, 0.02, rng.uniform(1.4, 1.6)), side.yaw)
    lamp = furniture.floor_lamp(rng)
    props.put_lamp(
        stage, lamp, furniture.FLOOR_LAMP_LIGHT, side.at(along + 1.6, 0.6), side.yaw, WARM_WHITE, 1.2
    )


def _shelves(stage: Stage, side: Side) -> None:
    """Put a bookshelf, a sideboard with things on it, and a door."""
    rng = stage.rng
    quarter = side.length / 4
    mirror = rng.choice([-1, 1])
    stage.put_if_free(buildings.inner_door(rng), side.at(mirror * quarter * 1.45, 0.16, 0.01), side.yaw)
    stage.put_if_free(furniture.bookshelf(rng), side.at(-mirror * quarter * 1.3, 0.32), side.yaw)
    board = props.sideboard(stage, rng.uniform(1.2, 1.5))
    props.put_top(stage, board, side.at(mirror * 0.1, 0.46), side.yaw, others=1)
    stage.offer(Use.SITTING, side.at(0, 2.2), (side.length / 3, 0.2), side.yaw, heading=side.yaw)
    picture = furniture.picture(rng, 0.9, 0.6)
    stage.put_if_free(picture, side.at(mirror * 0.1, 0.02, rng.uniform(1.35, 1.5)), side.yaw)


def _dining(stage: Stage, side: Side, height: float) -> None:
    """Put a table with chairs at the window, and a lamp over it that burns by day in some rooms."""
    rng = stage.rng
    at = side.at(rng.uniform(-0.15, 0.15) * side.length, 2.6)
    drop = rng.uniform(0.6, 0.9)
    props.put_top(stage, props.table(stage, rng.uniform(1.2, 1.6)), at, side.yaw, others=2)
    props.seats_at_table(stage, at, side.yaw, int(rng.integers(2, 4)))
    lamp = furniture.ceiling_lamp(rng, drop)
    if stage.put_if_free(lamp, (at[0], at[1], height - 0.02), 0):
        night_only = bool(rng.random() < 0.6)
        stage.lamp((at[0], at[1], height - 0.05 - drop), 0.09, bright(WARM_WHITE, 3), night_only)
    stage.lamp((0, 0, height - 0.25), 0.12, bright(WARM_WHITE, 3.5))


def _corners(stage: Stage, width: float, depth: float) -> None:
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        if stage.rng.random() < 0.55:
            at = (x * (width / 2 - 0.5), y * (depth / 2 - 0.5), FLOOR_METERS)
            stage.put_if_free(furniture.potted_plant(stage.rng), at)


def _garden(stage: Stage) -> None:
    """Put trees and bushes that are seen through the windows."""
    rng = stage.rng
    greens: list[Thing] = [nature.broadleaf_tree(rng), nature.bush(rng), nature.bush(rng)]
    for index in range(9):
        at = moved((0, 0, 0), rng.uniform(11, 20), 0, 40 * index + rng.uniform(-15, 15))
        stage.put_if_free(pick(rng, greens), at, rng.uniform(0, 360))
