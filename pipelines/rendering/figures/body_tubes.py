"""Tubes that bodies and clothes are blended of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from charmnet.arrays import Float64Array
from pipelines.rendering.description import Blend, Material, Part, Tube, Vector

Point = Float64Array

HALF_SPACE_METERS = 30.0  # radius of the ball that represents a half space


def vector(point: ArrayLike) -> Vector:
    """Return a point as floats, rounded to a hundredth of a millimetre."""
    x, y, z = (round(float(value), 5) for value in np.asarray(point))
    return (x, y, z)


def shifted(point: Point, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Point:
    """Return a point moved along the axes."""
    result: Point = point + np.array([x, y, z])
    return result


def limb(start: ArrayLike, end: ArrayLike, start_radius: float, end_radius: float | None = None) -> Tube:
    """Build a tapered capsule, rounded to a hundredth of a millimetre."""
    end_radius = start_radius if end_radius is None else end_radius
    return Tube(vector(start), vector(end), round(float(start_radius), 5), round(float(end_radius), 5))


def lump(center: ArrayLike, radius: float) -> Tube:
    """Build a ball."""
    return limb(center, center, radius)


def grown(tubes: Iterable[Tube], by_meters: float) -> tuple[Tube, ...]:
    """Return tubes with greater radii, such as cloth over a body."""
    return tuple(
        limb(tube.start, tube.end, tube.start_radius + by_meters, tube.end_radius + by_meters)
        for tube in tubes
    )


def beyond(point: ArrayLike, direction: ArrayLike) -> Tube:
    """Return the half space beyond the plane through `point` that faces `direction`, as a very large ball."""
    normal = np.asarray(direction, float) / np.linalg.norm(direction)
    return lump(np.asarray(point, float) + HALF_SPACE_METERS * normal, HALF_SPACE_METERS)


def blended(
    tubes: Iterable[Tube],
    material: Material,
    smoothing: float,
    resolution: float,
    within: Iterable[Tube] = (),
    without: Iterable[Tube] = (),
) -> Part:
    """Build a part from the smooth union of tubes; see `Blend`."""
    shape = Blend(tuple(tubes), round(smoothing, 5), round(resolution, 5), tuple(within), tuple(without))
    return Part(shape, material)


def path(points: Iterable[ArrayLike], radii: Iterable[float]) -> tuple[Tube, ...]:
    """Build tubes end to end, with a radius for each point."""
    stations = tuple(zip(points, radii, strict=True))
    return tuple(limb(start, end, wide, narrow) for (start, wide), (end, narrow) in pairwise(stations))


def mirrored(tubes: Iterable[Tube]) -> tuple[Tube, ...]:
    """Return tubes of the left side and their mirror images of the right side."""
    left = tuple(tubes)
    flip = np.array([-1, 1, 1])
    return left + tuple(limb(flip * t.start, flip * t.end, t.start_radius, t.end_radius) for t in left)


@dataclass(frozen=True, eq=False)
class Frame:
    """Position and direction of an animal's head; local points are (to its left, ahead, above).

    Attributes:
        origin: point between neck and head, [3] metres.
        yaw_degrees: turn to the left.
        nod_degrees: turn downwards.
    """

    origin: Point
    yaw_degrees: float
    nod_degrees: float

    def point(self, local: ArrayLike) -> Point:
        """Take a local point to the body's frame."""
        yaw, nod = np.radians([self.yaw_degrees, self.nod_degrees])
        left = np.array([np.cos(yaw), np.sin(yaw), 0])
        level = np.array([np.sin(yaw), -np.cos(yaw), 0])
        ahead = np.cos(nod) * level - np.array([0, 0, np.sin(nod)])
        above = np.sin(nod) * level + np.array([0, 0, np.cos(nod)])
        result: Point = self.origin + np.asarray(local) @ np.stack([left, ahead, above])
        return result

    def tubes(self, local: Iterable[Tube]) -> tuple[Tube, ...]:
        """Take local tubes to the body's frame."""
        return tuple(
            limb(self.point(t.start), self.point(t.end), t.start_radius, t.end_radius) for t in local
        )
