"""A hall with columns and high windows: a lobby, a nave or a canteen."""

from __future__ import annotations

from pipelines.rendering.description import Color, Material, Pattern, Role
from pipelines.rendering.parts import paint, pick, shade, vary
from pipelines.rendering.scenes import props
from pipelines.rendering.scenes.backdrop import (
    COOL_WHITE,
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
from pipelines.rendering.scenes.room import FLOOR_METERS, WALLPAINTS, WHITE, Side, walls
from pipelines.rendering.scenes.stage import Stage, Use
from pipelines.rendering.surroundings import buildings, furniture, street

STONES = tuple(paint(srgb) for srgb in ("c9c2b4", "b5ada0", "d6d0c4", "a89f92", "8f8a84"))


def build(stage: Stage) -> None:
    """Build two rows of columns along x, high windows, and the furniture of one of three kinds of hall."""
    rng = stage.rng
    width, depth, height = rng.uniform(20, 30), rng.uniform(11, 16), rng.uniform(5.5, 8)
    land(stage, pick(rng, GRASSES))
    woods_around(stage, 50, 80, 5)
    stage.put(floor(width + 0.6, depth + 0.6, _flooring(stage)), (0, 0, 0))
    stage.put(ceiling(width + 0.6, depth + 0.6, mingled(WHITE, shade(WHITE, 0.95), 1.0)), (0, 0, height))
    color = vary(rng, pick(rng, (*WALLPAINTS, *STONES)), 0.06)
    sides = walls(width, depth)
    for side in sides:
        _windows(stage, side, height, color)
    stage.room = ((0.4 - width / 2, 0.4 - depth / 2, 0.2), (width / 2 - 0.4, depth / 2 - 0.4, height - 1))
    _columns(stage, width, depth, height)
    pick(rng, (_lobby, _nave, _canteen))(stage, sides, width, depth)
    _along_walls(stage, sides)
    _lamps(stage, width, height)
    aisle = stage.offer(Use.WALKING, (0, 0, FLOOR_METERS), (width / 2 - 3, 1.6))
    for y in (-depth / 4 - 0.4, depth / 4 + 0.4):
        stage.offer(Use.WALKING, (0, y, FLOOR_METERS), (width / 2 - 3, 0.8))
        stage.offer(Use.SITTING, (0, y, FLOOR_METERS), (width / 2 - 3, 0.8))
    stage.offer(Use.SITTING, aisle.center, aisle.half)
    props.scatter(stage, "human", 4, aisle)


def _flooring(stage: Stage) -> Material:
    rng = stage.rng
    stone = vary(rng, pick(rng, STONES))
    if rng.random() < 0.6:
        other = shade(stone, rng.uniform(0.5, 0.9))
        return Material(stone, 0.35, pattern=Pattern.CHECKER, second_color=other, pattern_meters=1.2)
    boards = paint("b08a5c")
    return mingled(boards, shade(boards, 0.85), 0.4, 0.35)


def _windows(stage: Stage, side: Side, height: float, color: Color) -> None:
    """Put a wall with evenly spaced high windows."""
    count = round(side.length / stage.rng.uniform(3.2, 4.2))
    pitch = side.length / count
    sill = stage.rng.uniform(1.6, 2.6)
    tall, wide = height - sill - 0.7, pitch * 0.55
    spots = [pitch * (index + 0.5) - side.length / 2 for index in range(count)]
    plaster = mingled(color, shade(color, 0.93), 0.6)
    openings = [(x, wide, sill, tall) for x in spots]
    stage.put(wall(side.length + 0.6, height, openings, plaster, 0.3), side.at(0, -0.06, 0), side.yaw)
    frame = buildings.window_frame(stage.rng, wide, tall)
    for x in spots:
        stage.put(frame, side.at(x, -0.2, sill), side.yaw)


def _columns(stage: Stage, width: float, depth: float, height: float) -> None:
    column = buildings.column(stage.rng, height - FLOOR_METERS - 0.01, stage.rng.uniform(0.2, 0.32))
    count = round(width / 5)
    for index in range(count):
        for y in (-depth / 4 - 1.3, depth / 4 + 1.3):
            x = width * ((index + 0.5) / count - 0.5)
            stage.put(column, (x, y, FLOOR_METERS))


def _lobby(stage: Stage, sides: tuple[Side, ...], width: float, depth: float) -> None:
    """Put couches at low tables on rugs, and a desk."""
    rng = stage.rng
    for x in (-width / 4, width / 4):
        y = rng.choice([-1, 1]) * depth / 6
        stage.put(furniture.rug(rng, 3, 2.4), (x, y, FLOOR_METERS), 0, Role.GROUND)
        props.put_top(stage, props.low_table(stage), (x, y, FLOOR_METERS), 0, others=1)
        couch = props.figure(stage, "couch")
        stage.put_if_free(couch, (x, y + 1.3, FLOOR_METERS), 0)
    desk = props.sideboard(stage, 2.2)
    props.put_top(stage, desk, (rng.uniform(-3, 3), sides[0].distance - 2.2, FLOOR_METERS), 0, others=1)


def _nave(stage: Stage, _sides: tuple[Side, ...], width: float, _depth: float) -> None:
    """Put rows of benches on both sides of an aisle, and a table at its end."""
    top = props.bench(stage)
    for index in range(4):
        for y in (-2.9, 2.9):
            x = -width / 4 + 1.9 * index
            if index in (1, 2):
                props.put_top(stage, top, (x, y, FLOOR_METERS), 270)
            else:
                stage.put_if_free(top.thing, (x, y, FLOOR_METERS), 270)
    props.put_top(stage, props.table(stage, 2.2), (3 - width / 2, 0, FLOOR_METERS), 90, others=1)


def _canteen(stage: Stage, _sides: tuple[Side, ...], width: float, depth: float) -> None:
    """Put tables with chairs."""
    rng = stage.rng
    for x in (-width / 3, -2.0, width / 4):
        at = (x + rng.uniform(-0.8, 0.8), rng.choice([-1, 1]) * depth / 6, FLOOR_METERS)
        yaw = rng.uniform(-10, 10)
        if props.put_top(stage, props.table(stage, 1.7), at, yaw, others=1):
            props.seats_at_table(stage, at, yaw, 2)


def _along_walls(stage: Stage, sides: tuple[Side, ...]) -> None:
    """Put benches, plants, bins and doors."""
    rng = stage.rng
    for side in sides:
        along = rng.uniform(-0.3, 0.3) * side.length
        props.put_top(stage, props.bench(stage), side.at(along, 0.8), side.yaw)
        plant = furniture.potted_plant(rng, rng.uniform(0.9, 1.4))
        stage.put_if_free(plant, side.at(along + 1.8, 1.0), side.yaw)
        stage.put_if_free(street.litter_bin(rng), side.at(along - 1.4, 0.7), side.yaw)
        door = buildings.inner_door(rng)
        stage.put_if_free(door, side.at(-along * 0.8 - 1, 0.16, 0.01), side.yaw)


def _lamps(stage: Stage, width: float, height: float) -> None:
    """Put pendant lamps along the middle; in some halls they burn by day."""
    rng = stage.rng
    drop = rng.uniform(1.0, 2.0)
    night_only = bool(rng.random() < 0.5)
    color = pick(rng, (WARM_WHITE, COOL_WHITE))
    lamp = furniture.ceiling_lamp(rng, drop)
    for x in (-width / 3, 0.0, width / 3):
        stage.put(lamp, (x, 0, height - 0.02))
        stage.lamp((x, 0, height - 0.05 - drop), 0.15, bright(color, 14), night_only)
