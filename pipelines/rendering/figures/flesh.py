"""Tubes that bodies and their clothes are blended from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.rendering.description import Blend, Material, Part, Tube, Vector

Point = NDArray[np.float64]

HALF_SPACE_METERS = 30.0  # radius of the ball that stands for one


def vector(point: ArrayLike) -> Vector:
    """Plain numbers, to a hundredth of a millimetre."""
    x, y, z = (round(float(value), 5) for value in np.asarray(point))
    return (x, y, z)


def shifted(point: Point, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Point:
    return point + np.array([x, y, z])


def limb(start: ArrayLike, end: ArrayLike, start_radius: float, end_radius: float | None = None) -> Tube:
    end_radius = start_radius if end_radius is None else end_radius
    return Tube(vector(start), vector(end), round(float(start_radius), 5), round(float(end_radius), 5))


def lump(center: ArrayLike, radius: float) -> Tube:
    return limb(center, center, radius)


def grown(tubes: Iterable[Tube], by_meters: float) -> tuple[Tube, ...]:
    """The tubes with thicker radii: cloth over a body."""
    return tuple(
        limb(tube.start, tube.end, tube.start_radius + by_meters, tube.end_radius + by_meters)
        for tube in tubes
    )


def beyond(point: ArrayLike, direction: ArrayLike) -> Tube:
    """All space on the side of the plane through `point` that `direction` looks to (bent unnoticeably)."""
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
    """A part of tubes grown together; see `Blend`."""
    shape = Blend(tuple(tubes), round(smoothing, 5), round(resolution, 5), tuple(within), tuple(without))
    return Part(shape, material)
