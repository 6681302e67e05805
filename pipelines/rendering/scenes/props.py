"""Things besides the foreground: figures of its categories, tables and the like, and lamps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.rendering import figures
from pipelines.rendering.description import Color, Role, Thing, Vector
from pipelines.rendering.parts import pick
from pipelines.rendering.scenes.backdrop import bright
from pipelines.rendering.scenes.stage import Place, Stage, Use, moved
from pipelines.rendering.surroundings import buildings, furniture, nature, street

SMALL_CATEGORIES = ("bottle", "apple", "bottle", "cake")


def figure(stage: Stage, category: str) -> Thing:
    """Build a figure of a foreground category that is not the foreground."""
    return replace(figures.build(category, stage.rng), role=Role.FIGURE)


def scatter(stage: Stage, category: str, count: int, place: Place) -> None:
    """Put up to `count` figures on a place, in random positions and directions."""
    stage.scatter(lambda _: figure(stage, category), count, place)


def vehicle(stage: Stage, category: str, at: Vector, heading: float) -> bool:
    """Put a car or motorcycle unless another thing is in its way; tell whether it was put."""
    yaw = heading + stage.rng.normal(0, 2)
    return stage.put_if_free(figure(stage, category), at, yaw)


@dataclass(frozen=True)
class Top:
    """A thing on whose top small things may stand.

    Attributes:
        thing: the thing.
        middle: middle of the free part of its top, in the thing's own frame.
        half: half the lengths of that part along x and y, metres.
    """

    thing: Thing
    middle: Vector
    half: tuple[float, float]


def bench(stage: Stage) -> Top:
    """Build a bench."""
    return Top(street.bench(stage.rng), (0, -0.05, street.BENCH_TOP_METERS), (0.5, 0.04))


def table(stage: Stage, width: float = 1.5, depth: float = 0.85) -> Top:
    """Build a dining table."""
    thing = furniture.table(stage.rng, width, depth)
    return Top(thing, (0, 0, furniture.TABLE_TOP_METERS), (width / 2 - 0.25, depth / 2 - 0.25))


def round_table(stage: Stage) -> Top:
    """Build a cafe table."""
    return Top(furniture.round_table(stage.rng), (0, 0, furniture.TABLE_TOP_METERS), (0.12, 0.12))


def low_table(stage: Stage) -> Top:
    """Build a table to stand in front of a couch."""
    return Top(furniture.low_table(stage.rng), (0, 0, furniture.LOW_TABLE_TOP_METERS), (0.28, 0.1))


def sideboard(stage: Stage, width: float = 1.5) -> Top:
    """Build a sideboard."""
    thing = furniture.sideboard(stage.rng, width)
    return Top(thing, (0, -0.02, furniture.SIDEBOARD_TOP_METERS), (width / 2 - 0.25, 0.03))


def crate(stage: Stage) -> Top:
    """Build a wooden crate."""
    return Top(street.crate(stage.rng), (0, 0, street.CRATE_TOP_METERS), (0.1, 0.03))


def low_wall(stage: Stage, length: float) -> Top:
    """Build a garden wall."""
    thing = buildings.low_wall(stage.rng, length)
    return Top(thing, (0, 0, buildings.LOW_WALL_TOP_METERS), (length / 2 - 1, 0.03))


def hay_bale(stage: Stage) -> Top:
    """Build a square hay bale."""
    return Top(nature.square_hay_bale(stage.rng), (0, 0, nature.HAY_BALE_TOP_METERS), (0.25, 0.08))


def put_top(stage: Stage, top: Top, at: Vector, yaw: float, others: int = 0) -> bool:
    """Put a thing with a top if there is room; tell whether it was put.

    Its top becomes a place for small foregrounds, and up to `others` small figures are put on it.
    """
    if not stage.put_if_free(top.thing, at, yaw):
        return False
    x, y, z = top.middle
    middle = moved((at[0], at[1], at[2] + z), x, y, yaw)
    place = stage.offer(Use.TABLETOP, middle, top.half, yaw)
    for _ in range(others):
        small = figure(stage, pick(stage.rng, SMALL_CATEGORIES))
        stage.put_if_free(small, place.point(stage.rng), stage.rng.uniform(0, 360))
    return True


def seats_at_table(stage: Stage, at: Vector, yaw: float, count: int, apart: float = 0.75) -> None:
    """Put chairs at the sides of a table, facing it, `apart` metres from its middle."""
    for index in range(count):
        side = (-1) ** index
        along = 0.0 if count <= 2 else 0.38 * (-1) ** (index // 2)
        spot = moved(at, along, side * apart, yaw)
        # A thing at yaw 0 faces -y, so a chair on the +y side of the table needs no turn.
        facing = yaw + (0 if side > 0 else 180) + stage.rng.normal(0, 8)
        stage.put_if_free(figure(stage, "chair"), spot, facing)


def put_lamp(
    stage: Stage, thing: Thing, light: Vector, at: Vector, yaw: float, color: Color, intensity: float
) -> None:
    """Put a street lamp or floodlight with its light unless another thing is in its way."""
    if stage.put_if_free(thing, at, yaw):
        x, y, z = light
        stage.lamp(moved((at[0], at[1], at[2] + z), x, y, yaw), 0.12, bright(color, intensity))
