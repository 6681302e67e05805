"""Smooth unions of tubes as distance fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.rendering.description import Blend, Tube

Floats = NDArray[np.float64]
Field = NDArray[np.float32]


def signed_distances(blend: Blend) -> tuple[Floats, Field]:
    """The grid's first corner, and the smooth union's approximate signed distances on the grid."""
    step, smoothing = blend.resolution_meters, blend.smoothing_meters
    bounds = np.array([_bounds(tube) for tube in blend.tubes])
    reach = smoothing + 2 * step
    # Off the descriptions' round numbers: a surface through grid points would have collapsed triangles.
    origin = bounds[:, 0].min(axis=0) - reach - 0.382 * step
    shape = np.ceil((bounds[:, 1].max(axis=0) + reach - origin) / step).astype(int) + 1
    field = np.full(shape, reach, np.float32)
    axes = [(origin[axis] + step * np.arange(shape[axis])).astype(np.float32) for axis in range(3)]
    for tube, (low, high) in zip(blend.tubes, bounds, strict=True):
        first = np.floor((low - reach - origin) / step).astype(int).clip(0)
        last = np.ceil((high + reach - origin) / step).astype(int) + 1
        window = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        grid = [axis[part] for axis, part in zip(axes, window, strict=True)]
        field[window] = _smooth_minimum(field[window], _tube_distances(tube, grid), smoothing)
    if blend.within:
        field = np.maximum(field, np.minimum.reduce([_tube_distances(tube, axes) for tube in blend.within]))
    for tube in blend.without:
        field = np.maximum(field, -_tube_distances(tube, axes))
    return origin, field


def _bounds(tube: Tube) -> Floats:
    ends = np.array([tube.start, tube.end])
    radii = np.array([[tube.start_radius], [tube.end_radius]])
    return np.stack([(ends - radii).min(axis=0), (ends + radii).max(axis=0)])


def _smooth_minimum(a: Field, b: Field, width: float) -> Field:
    """Quadratic blend where the two differ by less than the width."""
    if width == 0:
        return np.minimum(a, b)
    mix = np.maximum(width - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - mix * mix / (4 * width), np.float32)


def _tube_distances(tube: Tube, grid: list[Field]) -> Field:
    """Signed distances to a tapered capsule, exact outside: to the nearest of the balls that it spans."""
    x, y, z = (axis - start for axis, start in zip(grid, tube.start, strict=True))
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    span = np.subtract(tube.end, tube.start)
    length = max(float(np.linalg.norm(span)), 1e-9)
    ux, uy, uz = (float(value) / length for value in span)
    along = x * ux + y * uy + z * uz
    squared = x * x + y * y + z * z
    away = np.sqrt(np.maximum(squared - along * along, 0))
    sine = float(np.clip((tube.start_radius - tube.end_radius) / length, -0.9999, 0.9999))
    place = np.clip(along - away * (sine / np.sqrt(1 - sine * sine)), 0, length)
    radius = tube.start_radius + place * ((tube.end_radius - tube.start_radius) / length)
    return np.asarray(np.hypot(along - place, away) - radius, np.float32)
