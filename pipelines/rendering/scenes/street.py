"""A street between house fronts or gardens."""

from __future__ import annotations

from pipelines.rendering.parts import pick
from pipelines.rendering.scenes import props
from pipelines.rendering.scenes.backdrop import COOL_WHITE, GRASSES, SODIUM, land, woods_around
from pipelines.rendering.scenes.stage import Stage, Use, moved
from pipelines.rendering.surroundings import buildings, nature, street

LENGTH = 150.0
BUILT_UP = 46.0
"""Distance along the street up to which houses stand, in both directions; metres."""


def build(stage: Stage) -> None:
    """Build a road along x with pavements, and houses on both sides or trees on one."""
    rng = stage.rng
    land(stage, pick(rng, GRASSES))
    woods_around(stage, 75, 120, 7)
    width = rng.uniform(6.2, 8)
    walk = rng.uniform(2.4, 3.6)
    stage.put(street.road(rng, LENGTH, width), (0, 0, 0))
    is_town = bool(rng.random() < 0.5)
    open_side = int(rng.choice([-1, 1, 0]))
    for side in (-1, 1):
        _pavement(stage, side, width, walk)
        edge = width / 2 + walk
        if side == open_side:
            _green(stage, side, edge)
        elif is_town:
            _row(stage, side, edge)
        else:
            _gardens(stage, side, edge)
    _furnish(stage, width, walk)
    _traffic(stage, width)
    for pavement in stage.places_for(Use.WALKING):
        props.scatter(stage, "human", 2, pavement)
    stage.offer(Use.WALKING, (0, 0, 0.01), (14, width / 2 - 1.2))


def _pavement(stage: Stage, side: int, width: float, walk: float) -> None:
    y = side * (width + walk) / 2
    stage.put(street.pavement(stage.rng, LENGTH, walk), (0, y, 0), 0 if side > 0 else 180)
    free = (16, walk / 2 - 0.5)
    stage.offer(Use.WALKING, (0, y, street.KERB_TOP_METERS), free)
    stage.offer(Use.SITTING, (0, y, street.KERB_TOP_METERS), free)


def _row(stage: Stage, side: int, edge: float) -> None:
    """Put a closed row of house fronts right behind the pavement."""
    rng = stage.rng
    x = -BUILT_UP
    while x < BUILT_UP:
        wide = rng.uniform(9, 14)
        front = buildings.facade(rng, wide, 7, int(rng.integers(3, 5)))
        stage.put(front, (x + wide / 2, side * (edge + 3.7), 0), 0 if side > 0 else 180)
        x += wide + (0 if rng.random() < 0.8 else 3.5)


def _gardens(stage: Stage, side: int, edge: float) -> None:
    """Put houses in gardens, with walls, fences or hedges in front."""
    rng = stage.rng
    x = -BUILT_UP
    yaw = 0 if side > 0 else 180
    plants = [nature.broadleaf_tree(rng), nature.bush(rng), nature.bush(rng)]
    while x < BUILT_UP:
        wide, deep, back = rng.uniform(9, 13), rng.uniform(7, 9), rng.uniform(4, 7)
        home = buildings.house(rng, wide, deep, int(rng.integers(1, 3)))
        stage.put(home, (x + wide / 2, side * (edge + back + deep / 2), 0), yaw)
        if abs(x) < 30:
            _boundary(stage, (x + wide / 2, side * (edge + 0.35), 0), wide, yaw)
            stage.put_if_free(
                pick(rng, plants),
                (x + rng.uniform(0, wide), side * (edge + back * 0.6), 0),
                rng.uniform(0, 360),
            )
        x += wide + rng.uniform(2.5, 6)


def _boundary(stage: Stage, at: tuple[float, float, float], length: float, yaw: float) -> None:
    kind = stage.rng.random()
    if kind < 0.35:
        props.put_top(stage, props.low_wall(stage, length), at, yaw)
    elif kind < 0.7:
        stage.put_if_free(street.fence(stage.rng, length), at, yaw)
    elif kind < 0.85:
        stage.put_if_free(nature.hedge(stage.rng, length, 1.0), at, yaw)


def _green(stage: Stage, side: int, edge: float) -> None:
    """Put trees and a bush instead of houses."""
    rng = stage.rng
    trees = [nature.broadleaf_tree(rng), nature.broadleaf_tree(rng), nature.conifer(rng)]
    for index in range(6):
        at = ((index - 2.5) * 13 + rng.uniform(-3, 3), side * (edge + rng.uniform(3, 14)), 0)
        stage.put_if_free(pick(rng, trees), at, rng.uniform(0, 360))
    stage.put_if_free(nature.bush(rng), (rng.uniform(-12, 12), side * (edge + 2), 0))


def _furnish(stage: Stage, width: float, walk: float) -> None:
    """Put lamps and trees along the kerbs, and benches, bins and tables along the houses."""
    rng = stage.rng
    color = pick(rng, (SODIUM, COOL_WHITE))
    first = rng.uniform(-10, 0)
    for index in range(-2, 3):
        side = (-1) ** index
        at = (first + 17 * index, side * (width / 2 + 0.5), street.KERB_TOP_METERS)
        yaw = 0 if side > 0 else 180
        props.put_lamp(stage, street.street_lamp(rng), street.STREET_LAMP_LIGHT, at, yaw, color, 80)
    tree = nature.broadleaf_tree(rng, rng.uniform(5, 7))
    if rng.random() < 0.6:
        for index in range(-1, 2):
            at = (first + 8 + 17 * index, (-1) ** (index + 1) * (width / 2 + 0.7), street.KERB_TOP_METERS)
            stage.put_if_free(tree, at, rng.uniform(0, 360))
    inner = width / 2 + walk - 0.45
    for _ in range(3):
        side = rng.choice([-1, 1])
        at = (rng.uniform(-12, 12), side * inner, street.KERB_TOP_METERS)
        facing = 0 if side > 0 else 180
        kind = rng.random()
        if kind < 0.45:
            props.put_top(stage, props.bench(stage), at, facing)
        elif kind < 0.8:
            props.put_top(stage, props.round_table(stage), at, facing)
            stage.put_if_free(props.figure(stage, "chair"), moved(at, 0.75, 0, facing), facing - 90)
        else:
            stage.put_if_free(street.litter_bin(rng), at)
    at = (rng.uniform(-9, 9), rng.choice([-1, 1]) * inner, street.KERB_TOP_METERS)
    props.put_top(stage, props.crate(stage), at, rng.uniform(-20, 20))


def _traffic(stage: Stage, width: float) -> None:
    """Put parked cars and a motorcycle, and offer the lanes to foregrounds."""
    rng = stage.rng
    for side, heading in ((-1, 90), (1, 270)):
        kerb = side * (width / 2 - 1.1)
        for _ in range(2):
            at = (rng.uniform(-28, 28), kerb, 0.01)
            props.vehicle(stage, "car", at, heading)
        stage.offer(Use.DRIVING, (0, side * width / 4, 0.01), (14, 0.2), heading=heading)
        stage.offer(Use.DRIVING, (0, kerb, 0.01), (14, 0.1), heading=heading)
    if rng.random() < 0.5:
        props.vehicle(stage, "motorcycle", (rng.uniform(-15, 15), width / 2 - 0.8, 0.01), 270)
