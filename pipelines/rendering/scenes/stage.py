"""A scene without its foreground: things, lamps, and places that are left free."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from pipelines.rendering.description import Color, Lamp, Pose, Role, Thing, Vector
from pipelines.rendering.scenes.space import Solids, bounding_box, solids_of

Builder = Callable[[np.random.Generator], Thing]
STEP_METERS = 0.01
"""Height by which a thing is raised off its ground while it is tested for collisions."""


class Use(StrEnum):
    """Purpose of a place."""

    WALKING = "walking"  # people and dogs
    DRIVING = "driving"
    GRAZING = "grazing"
    SITTING = "sitting"  # chairs and couches
    TABLETOP = "tabletop"  # hand-held objects


@dataclass(frozen=True)
class Place:
    """A level rectangle where a foreground may stand.

    Attributes:
        use: purpose of the place.
        center: middle of the rectangle.
        half: half its lengths along and across, metres.
        yaw_degrees: turn of the rectangle.
        heading_degrees: yaw of a thing that stands here, such as a car in a lane; None for any.
    """

    use: Use
    center: Vector
    half: tuple[float, float]
    yaw_degrees: float = 0.0
    heading_degrees: float | None = None

    def point(self, rng: np.random.Generator) -> Vector:
        """Draw a point on the rectangle."""
        along, across = rng.uniform(-1, 1, 2) * self.half
        return moved(self.center, along, across, self.yaw_degrees)


@dataclass(frozen=True, eq=False)
class Content:
    """A scene without foreground and camera.

    Attributes:
        things: all things.
        lamps: all lamps.
        places: places for foregrounds.
        solids: boxes around all obstacles, which is everything but the ground.
        room: lowest and highest corner of the space for a camera; None for all space above the ground.
    """

    things: tuple[Thing, ...]
    lamps: tuple[Lamp, ...]
    places: tuple[Place, ...]
    solids: Solids
    room: tuple[Vector, Vector] | None


@dataclass
class Stage:
    """A scene in the making: things are put one by one, none inside another."""

    rng: np.random.Generator
    things: list[Thing] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    room: tuple[Vector, Vector] | None = None
    _taken: list[tuple[Solids, Solids]] = field(default_factory=list)

    def put(self, thing: Thing, at: Vector, yaw: float = 0.0, role: Role | None = None) -> Thing:
        """Put a thing without a test for collisions."""
        placed = replace(thing, role=role or thing.role, pose=Pose(_plain(at), float(yaw)))
        self.things.append(placed)
        if placed.role is not Role.GROUND:
            self._taken.append((bounding_box(placed), solids_of(placed)))
        return placed

    def put_if_free(self, thing: Thing, at: Vector, yaw: float = 0.0, role: Role | None = None) -> bool:
        """Put a thing unless it would collide with another; tell whether it was put."""
        raised = replace(thing, pose=Pose(_plain((at[0], at[1], at[2] + STEP_METERS)), float(yaw)))
        box, solids = bounding_box(raised), solids_of(raised)
        if any(box.touches(other_box) and solids.touches(other) for other_box, other in self._taken):
            return False
        self.put(thing, at, yaw, role)
        return True

    def scatter(self, build: Builder, count: int, place: Place) -> None:
        """Put up to `count` things at free points of a place; a few points are tried for each."""
        for _ in range(count):
            thing = build(self.rng)
            for _ in range(6):
                if self.put_if_free(thing, place.point(self.rng), self.rng.uniform(0, 360)):
                    break

    def offer(
        self,
        use: Use,
        center: Vector,
        half: tuple[float, float],
        yaw: float = 0.0,
        heading: float | None = None,
    ) -> Place:
        """Record a place for foregrounds; things may still be put there."""
        place = Place(use, _plain(center), (float(half[0]), float(half[1])), float(yaw), heading)
        self.places.append(place)
        return place

    def places_for(self, use: Use) -> list[Place]:
        """Return the places of a use that were offered so far, in their order."""
        return [place for place in self.places if place.use is use]

    def lamp(self, at: Vector, radius: float, color: Color, night_only: bool = True) -> None:
        """Put a lamp of intensity `color`."""
        self.lamps.append(Lamp(_plain(at), float(radius), color, night_only))

    def content(self) -> Content:
        """Return the finished scene."""
        obstacles = Solids.join(solids for _, solids in self._taken)
        return Content(tuple(self.things), tuple(self.lamps), tuple(self.places), obstacles, self.room)


def moved(start: Vector, along: float, across: float, yaw_degrees: float) -> Vector:
    """Return a point moved along a direction and across it, to its left."""
    angle = math.radians(yaw_degrees)
    x = start[0] + along * math.cos(angle) - across * math.sin(angle)
    y = start[1] + along * math.sin(angle) + across * math.cos(angle)
    return (float(x), float(y), float(start[2]))


def _plain(point: Vector) -> Vector:
    return (float(point[0]), float(point[1]), float(point[2]))
