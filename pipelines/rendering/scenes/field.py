"""Farmland: a meadow or stubble field with cattle, hay, fences and a farm."""

from __future__ import annotations

import math

from pipelines.rendering.parts import paint, pick
from pipelines.rendering.scenes import props
from pipelines.rendering.scenes.backdrop import (
    GRASSES,
    SOILS,
    WARM_WHITE,
    land,
    mingled,
    ribbon,
    woods_around,
)
from pipelines.rendering.scenes.stage import Stage, Use
from pipelines.rendering.surroundings import buildings, nature, street

STUBBLES = (paint("c2a865"), paint("b39c62"), paint("cdb878"))


def build(stage: Stage) -> None:
    """Build a dirt track along x with fences, hay bales and cows, and a farm and woods in the distance."""
    rng = stage.rng
    land(stage, pick(rng, (*GRASSES, *GRASSES, *STUBBLES)), 1.0)
    woods_around(stage, 60, 130, 7)
    soil = pick(rng, SOILS)
    bend = rng.uniform(-0.004, 0.004)
    line = [(float(x), bend * x * x) for x in range(-80, 81, 4)]
    stage.put(
        ribbon("track", line, rng.uniform(2.4, 3.2), mingled(soil, pick(rng, SOILS), 0.3)), (0, 0, 0.015)
    )
    _farm(stage)
    _fences(stage)
    for _ in range(3):
        at = (rng.uniform(-9, 9), rng.choice([-1, 1]) * rng.uniform(2.5, 7), 0)
        props.put_top(stage, props.hay_bale(stage), at, rng.uniform(0, 180))
    at = (rng.uniform(-6, 6), rng.choice([-1, 1]) * rng.uniform(2.2, 4), 0)
    props.put_top(stage, props.crate(stage), at, rng.uniform(0, 180))
    _scatter(stage)
    _offer(stage)


def _farm(stage: Stage) -> None:
    """Put a house and a barn in the background, and two lamps."""
    rng = stage.rng
    side = rng.choice([-1, 1])
    x = rng.uniform(-35, 35)
    y = rng.uniform(30, 48)
    yaw = (0 if side > 0 else 180) + rng.uniform(-25, 25)
    stage.put_if_free(buildings.house(rng, 11, 8, 2, gabled=True), (x, side * y, 0), yaw)
    stage.put_if_free(buildings.house(rng, 18, 10, 1, gabled=True), (x + 19, side * (y + 3), 0), yaw + 60)
    angle = math.radians(yaw)
    at = (x - 7 * math.cos(angle), side * (y - 6), 0)
    props.put_lamp(stage, street.post_lamp(rng), street.POST_LAMP_LIGHT, at, 0, WARM_WHITE, 45)
    near = (rng.uniform(-7, 7), rng.choice([-1, 1]) * 2.6, 0)
    props.put_lamp(stage, street.post_lamp(rng), street.POST_LAMP_LIGHT, near, 0, WARM_WHITE, 30)


def _fences(stage: Stage) -> None:
    rng = stage.rng
    # The one of the fewest parts of three: mostly rails between posts.
    fence = min((street.fence(rng, 9.0) for _ in range(3)), key=lambda fence: len(fence.parts))
    for side in (-1, 1):
        y = side * rng.uniform(9, 13)
        gap = int(rng.integers(5))
        for index in range(5):
            if index != gap:
                stage.put_if_free(fence, (9.1 * (index - 2), y, 0), 0 if side > 0 else 180)


def _scatter(stage: Stage) -> None:
    rng = stage.rng
    trees = [nature.broadleaf_tree(rng), nature.broadleaf_tree(rng), nature.conifer(rng)]
    for _ in range(6):
        at = (rng.uniform(-45, 45), rng.choice([-1, 1]) * rng.uniform(15, 38), 0)
        stage.put_if_free(pick(rng, trees), at, rng.uniform(0, 360))
    bale = nature.round_hay_bale(rng)
    for _ in range(int(rng.integers(3, 7))):
        at = (rng.uniform(-25, 25), rng.choice([-1, 1]) * rng.uniform(5, 26), 0)
        stage.put_if_free(bale, at, rng.uniform(0, 360))
    for _ in range(3):
        at = (rng.uniform(-12, 12), rng.choice([-1, 1]) * rng.uniform(2, 8), 0)
        stage.put_if_free(pick(rng, (nature.boulder, nature.bush))(rng), at, rng.uniform(0, 360))


def _offer(stage: Stage) -> None:
    meadows = [stage.offer(Use.GRAZING, (0, side * 5.5, 0), (11, 3)) for side in (-1, 1)]
    for meadow in meadows:
        stage.offer(Use.WALKING, meadow.center, meadow.half)
        stage.offer(Use.DRIVING, meadow.center, (8, 1))
    track = stage.offer(Use.WALKING, (0, 0, 0.015), (10, 0.8))
    stage.offer(Use.DRIVING, track.center, (9, 0.2), heading=float(stage.rng.choice([90, 270])))
    props.scatter(stage, "cow", 3, pick(stage.rng, meadows))
    props.scatter(stage, "human", 2, track)
