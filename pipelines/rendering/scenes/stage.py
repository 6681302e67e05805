"""What a scene's kind sets up before anyone knows the foreground: things, lamps, and places left free."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from pipelines.rendering.description import Color, Lamp, Pose, Role, Thing, Vector
from pipelines.rendering.scenes.space import Solids, around, solids_of

Builder = Callable[[np.random.Generator], Thing]
STEP_METERS = 0.01
"""Lifts what is tested for collisions off what it stands on."""


class Use(StrEnum):
    """What a place is for."""

    WALKING = "walking"  # people and dogs
    DRIVING = "driving"
    GRAZING = "grazing"
    SITTING = "sitting"  # chairs and couches
    TABLETOP = "tabletop"  # what one takes into the hand


@dataclass(frozen=True)
class Place:
    """A level rectangle where a foreground may stand.

    Attributes:
        center: z is its height.
        half: half its lengths along and across, metres.
        yaw_degrees: by which the rectangle is turned.
        heading_degrees: yaw of what stands here, as of a car in a lane; None for any.
    """

    use: Use
    center: Vector
    half: tuple[float, float]
    yaw_degrees: float = 0.0
    heading_degrees: float | None = None

    def point(self, rng: np.random.Generator) -> Vector:
        """Somewhere on it."""
        along, across = rng.uniform(-1, 1, 2) * self.half
        return moved(self.center, along, across, self.yaw_degrees)


@dataclass(frozen=True, eq=False)
class Content:
    """A scene without foreground and camera.

    Attributes:
        solids: the boxes around all that is an obstacle (anything but the ground).
        room: lowest and highest corner of where a camera may be; None for anywhere above the ground.
    """

    things: tuple[Thing, ...]
    lamps: tuple[Lamp, ...]
    places: tuple[Place, ...]
    solids: Solids
    room: tuple[Vector, Vector] | None


@dataclass
class Stage:
    """Things put down one by one, none within another."""

    rng: np.random.Generator
    things: list[Thing] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    room: tuple[Vector, Vector] | None = None
    _taken: list[tuple[Solids, Solids]] = field(default_factory=list)

    def put(self, thing: Thing, at: Vector, yaw: float = 0.0, role: Role | None = None) -> Thing:
        """Puts a thing down whatever stands there."""
        put = replace(thing, role=role or thing.role, pose=Pose(_plain(at), float(yaw)))
        self.things.append(put)
        if put.role is not Role.GROUND:
            self._taken.append((around(put), solids_of(put)))
        return put

    def put_if_free(self, thing: Thing, at: Vector, yaw: float = 0.0, role: Role | None = None) -> bool:
        """Puts a thing down unless it would run into another."""
        raised = replace(thing, pose=Pose(_plain((at[0], at[1], at[2] + STEP_METERS)), float(yaw)))
        hull, solids = around(raised), solids_of(raised)
        if any(hull.touches(their_hull) and solids.touches(theirs) for their_hull, theirs in self._taken):
            return False
        self.put(thing, at, yaw, role)
        return True

    def strew(self, build: Builder, count: int, place: Place) -> None:
        """Up to `count` things at free spots of a place; each spot is tried for a few times."""
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
        """Keeps a place for the foreground."""
        place = Place(use, _plain(center), (float(half[0]), float(half[1])), float(yaw), heading)
        self.places.append(place)
        return place

    def places_for(self, use: Use) -> list[Place]:
        """The places of a use that were offered so far, in their order."""
        return [place for place in self.places if place.use is use]

    def lamp(self, at: Vector, radius: float, color: Color, night_only: bool = True) -> None:
        self.lamps.append(Lamp(_plain(at), float(radius), color, night_only))

    def content(self) -> Content:
        """All of it, for good."""
        obstacles = Solids.join(solids for _, solids in self._taken)
        return Content(tuple(self.things), tuple(self.lamps), tuple(self.places), obstacles, self.room)


def moved(start: Vector, along: float, across: float, yaw_degrees: float) -> Vector:
    """The point so far along and across a direction; across is to its left."""
    angle = math.radians(yaw_degrees)
    x = start[0] + along * math.cos(angle) - across * math.sin(angle)
    y = start[1] + along * math.sin(angle) + across * math.cos(angle)
    return (float(x), float(y), float(start[2]))


def _plain(point: Vector) -> Vector:
    return (float(point[0]), float(point[1]), float(point[2]))
