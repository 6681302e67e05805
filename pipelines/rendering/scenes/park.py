"""A park: a winding path through lawns and trees."""

from __future__ import annotations

import math

from pipelines.rendering.parts import pick
from pipelines.rendering.scenes import props
from pipelines.rendering.scenes.backdrop import (
    COOL_WHITE,
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

REACH = 70.0


def build(stage: Stage) -> None:
    """Build a winding path along x with benches, lamps, people and dogs."""
    rng = stage.rng
    land(stage, pick(rng, GRASSES), 0.8)
    woods_around(stage, 45, 80, 7)
    path = _Path(rng.uniform(1.5, 5), rng.uniform(35, 60), rng.uniform(0, math.tau), rng.uniform(2.2, 3.4))
    soil = pick(rng, SOILS)
    line = [(x, path.middle(x)) for x in range(-int(REACH), int(REACH) + 1, 2)]
    stage.put(ribbon("path", line, path.width, mingled(soil, pick(rng, SOILS), 0.12)), (0, 0, 0.015))
    _beside_path(stage, path)
    _on_lawns(stage, path)
    _offer(stage, path)
    walks = stage.places_for(Use.WALKING)
    for index in (0, 3, -1):
        props.scatter(stage, "human", 1, walks[index])
    props.scatter(stage, "dog", int(rng.integers(1, 3)), pick(rng, walks))


class _Path:
    """A sine curve along x; all measures in metres, the phase in radians."""

    def __init__(self, swing: float, period: float, phase: float, width: float) -> None:
        self.swing = swing
        self.period = period
        self.phase = phase
        self.width = width

    def middle(self, x: float) -> float:
        """Return the y of the path's middle at x."""
        return float(self.swing * (math.sin(math.tau * x / self.period + self.phase) - math.sin(self.phase)))

    def yaw(self, x: float) -> float:
        """Return the path's direction at x, degrees from the x axis."""
        return math.degrees(math.atan2(self.middle(x + 0.1) - self.middle(x - 0.1), 0.2))


def _offer(stage: Stage, path: _Path) -> None:
    """Offer pieces of the path first, then lawns."""
    for x in (-9.0, -4.0, 0.0, 4.0, 9.0):
        at = (x, path.middle(x), 0.015)
        yaw = path.yaw(x)
        stage.offer(Use.WALKING, at, (2, path.width / 2 - 0.4), yaw)
        stage.offer(Use.DRIVING, at, (1.5, 0.2), yaw, heading=yaw + stage.rng.choice([90, 270]))
        stage.offer(Use.SITTING, at, (2, path.width / 2 - 0.4), yaw)
    for side in (-1, 1):
        lawn = (0, side * (path.swing + path.width / 2 + 4), 0)
        for use in (Use.WALKING, Use.SITTING, Use.GRAZING, Use.DRIVING):
            stage.offer(use, lawn, (12, 3.5))


def _beside_path(stage: Stage, path: _Path) -> None:
    rng = stage.rng
    color = pick(rng, (WARM_WHITE, COOL_WHITE))
    lamp = street.post_lamp(rng)
    first = rng.uniform(-4, 4)
    for index in range(-2, 3):
        x = first + 14 * index
        side = (-1) ** index
        at = (x, path.middle(x) + side * (path.width / 2 + 0.6), 0)
        props.put_lamp(stage, lamp, street.POST_LAMP_LIGHT, at, 0, color, 40)
    for index in range(-1, 2):
        x = first + 14 * index + rng.uniform(4, 10)
        side = rng.choice([-1, 1])
        at = (x, path.middle(x) + side * (path.width / 2 + 0.7), 0)
        props.put_top(stage, props.bench(stage), at, path.yaw(x) + (0 if side > 0 else 180))
        beside = (x + 1.4, path.middle(x + 1.4) + side * (path.width / 2 + 0.5), 0)
        if rng.random() < 0.4:
            stage.put_if_free(street.litter_bin(rng), beside)


def _on_lawns(stage: Stage, path: _Path) -> None:
    """Put a picnic table and a wall, and trees, bushes and houses further away."""
    rng = stage.rng
    side = rng.choice([-1, 1])
    table = (rng.uniform(-8, 8), side * (path.swing + path.width / 2 + rng.uniform(2.5, 5)), 0)
    props.put_top(stage, props.table(stage), table, rng.uniform(0, 180), others=2)
    at = (rng.uniform(-8, 8), -side * (path.swing + path.width / 2 + rng.uniform(2, 5)), 0)
    props.put_top(stage, props.low_wall(stage, rng.uniform(3, 5)), at, rng.uniform(-20, 20))
    trees = [nature.broadleaf_tree(rng), nature.broadleaf_tree(rng), nature.conifer(rng)]
    bushes = [nature.bush(rng), nature.bush(rng)]
    for _ in range(7):
        x = rng.uniform(-40, 40)
        off = path.width / 2 + rng.uniform(3.5, 24)
        at = (x, path.middle(x) + rng.choice([-1, 1]) * off, 0)
        stage.put_if_free(pick(rng, trees), at, rng.uniform(0, 360))
    for _ in range(4):
        x = rng.uniform(-20, 20)
        off = path.width / 2 + rng.uniform(2, 12)
        at = (x, path.middle(x) + rng.choice([-1, 1]) * off, 0)
        stage.put_if_free(pick(rng, bushes), at, rng.uniform(0, 360))
    for _ in range(2):
        home = buildings.house(rng, rng.uniform(8, 14), 8, int(rng.integers(1, 3)))
        at = (rng.uniform(-40, 40), rng.choice([-1, 1]) * rng.uniform(34, 44), 0)
        stage.put_if_free(home, at, 0 if at[1] > 0 else 180)
