"""A raceway: track, kerbs, barriers and stands."""

from __future__ import annotations

from pipelines.rendering.description import Thing
from pipelines.rendering.parts import pick, shade
from pipelines.rendering.scenes import props
from pipelines.rendering.scenes.backdrop import (
    COOL_WHITE,
    GRASSES,
    MAST_LIGHT,
    SOILS,
    floodlight_mast,
    grandstand,
    land,
    woods_around,
)
from pipelines.rendering.scenes.stage import Stage, Use
from pipelines.rendering.surroundings import buildings, nature, street

LENGTH = 180.0


def build(stage: Stage) -> None:
    """Build a straight along x between kerbs and barriers, stands on one side, pits or trees opposite."""
    rng = stage.rng
    land(stage, pick(rng, (*GRASSES, shade(pick(rng, SOILS), 0.8))), 1.0)
    woods_around(stage, 70, 130, 7)
    width = rng.uniform(9, 12)
    stage.put(street.road(rng, LENGTH, width), (0, 0, 0))
    stand_side = int(rng.choice([-1, 1]))
    for side in (-1, 1):
        kerb = street.racing_kerb(rng, 40)
        stage.put(kerb, (rng.uniform(-8, 8), side * (width / 2 + 0.5), 0), 0 if side > 0 else 180)
        _barriers(stage, side, width / 2 + rng.uniform(5, 7.5))
    _behind(stage, stand_side, width / 2)
    _offer(stage, width)
    _traffic(stage, width)
    for verge in stage.places_for(Use.WALKING)[:2]:
        props.scatter(stage, "human", 1, verge)


def _barriers(stage: Stage, side: int, y: float) -> None:
    """Put rails along the run-off, and tyres in front of some of them."""
    rng = stage.rng
    build = pick(rng, (street.guard_rail, street.crash_barrier))
    rail: Thing = build(rng, 12.0)
    for index in range(-3, 4):
        stage.put(rail, (12.1 * index, side * y, 0), 0 if side > 0 else 180)
    tyres = street.tyre_wall(rng, 5.0, int(rng.integers(3, 5)))
    for _ in range(2):
        at = (rng.uniform(-16, 16), side * (y - 0.9), 0)
        stage.put_if_free(tyres, at, 0 if side > 0 else 180)
    props.put_top(stage, props.crate(stage), (rng.uniform(-8, 8), side * (y - 1.5), 0), rng.uniform(-30, 30))
    props.put_top(
        stage, props.table(stage), (rng.uniform(-10, 10), side * (y - 2), 0), rng.uniform(-10, 10), others=1
    )


def _behind(stage: Stage, side: int, edge: float) -> None:
    """Put stands and masts on one side, pits or trees on the other."""
    rng = stage.rng
    stand = grandstand(rng, 26)
    for x in (-29.0, 0.0, 29.0):
        if rng.random() < 0.8:
            stage.put_if_free(stand, (x + rng.uniform(-1, 1), side * (edge + 12), 0), 0 if side > 0 else 180)
    mast = floodlight_mast(rng)
    for index in range(-2, 3):
        across = side if index % 2 else -side
        at = (15.0 * index, across * (edge + 9.5), 0)
        props.put_lamp(stage, mast, MAST_LIGHT, at, 0 if across > 0 else 180, COOL_WHITE, 400)
    if rng.random() < 0.5:
        pits = buildings.house(rng, 34, 8, int(rng.integers(1, 3)), gabled=False)
        stage.put_if_free(pits, (rng.uniform(-10, 10), -side * (edge + 15), 0), 180 if side > 0 else 0)
    trees = [nature.conifer(rng), nature.broadleaf_tree(rng), nature.broadleaf_tree(rng)]
    for _ in range(6):
        at = (rng.uniform(-45, 45), -side * (edge + rng.uniform(12, 30)), 0)
        stage.put_if_free(pick(rng, trees), at, rng.uniform(0, 360))


def _offer(stage: Stage, width: float) -> None:
    for side in (-1, 1):
        stage.offer(Use.WALKING, (0, side * (width / 2 + 2.6), 0), (14, 1.2))
    stage.offer(Use.WALKING, (0, 0, 0.01), (12, width / 2 - 1))
    for side in (-1, 1):
        stage.offer(Use.DRIVING, (0, side * width / 4, 0.01), (16, width / 8), heading=90)


def _traffic(stage: Stage, width: float) -> None:
    rng = stage.rng
    for category in ("car", "car", pick(rng, ("car", "motorcycle")), "motorcycle"):
        at = (rng.uniform(-30, 30), rng.choice([-1, 1]) * width * rng.uniform(0.15, 0.35), 0.01)
        props.vehicle(stage, category, at, 90)
    for _ in range(3):
        at = (rng.uniform(-12, 12), rng.choice([-1, 1]) * (width / 2 + 1.6), 0)
        stage.put_if_free(street.traffic_cone(rng), at)
