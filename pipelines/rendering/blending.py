"""Distance fields of smooth unions of tubes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charmnet.arrays import Float32Array, Float64Array
from pipelines.rendering.description import Blend, Tube


def signed_distances(blend: Blend) -> tuple[Float64Array, Float32Array]:
    """Return a grid's first corner [3], metres, and approximate signed distances [X,Y,Z] to the blend."""
    step, smoothing = blend.resolution_meters, blend.smoothing_meters
    low, high = np.array([_bounds(tube) for tube in blend.tubes]).transpose(1, 0, 2)
    reach = smoothing + 2 * step
    # The grid avoids the descriptions' round numbers: a surface through grid points has collapsed triangles.
    origin = low.min(axis=0) - reach - 0.382 * step
    counts = np.ceil((high.max(axis=0) + reach - origin) / step).astype(int) + 1
    grid = [
        (first + step * np.arange(count)).astype(np.float32)
        for first, count in zip(origin, counts, strict=True)
    ]
    field = _union(blend.tubes, grid, smoothing, step)
    if blend.within:
        field = np.maximum(field, _union(blend.within, grid, 0.0, step))
    if blend.without:
        field = np.maximum(field, -_union(blend.without, grid, 0.0, step))
    return origin, field


def _union(tubes: Sequence[Tube], grid: list[Float32Array], smoothing: float, step: float) -> Float32Array:
    """Return distances to the nearest tube; each tube is evaluated only near itself, where it can matter."""
    reach = smoothing + 2 * step
    field = np.full([len(axis) for axis in grid], reach, np.float32)
    for tube in tubes:
        low, high = _bounds(tube)
        window = tuple(
            slice(*np.searchsorted(axis, (first - reach, last + reach)))
            for axis, first, last in zip(grid, low, high, strict=True)
        )
        near = [axis[part] for axis, part in zip(grid, window, strict=True)]
        field[window] = _smooth_minimum(field[window], _tube_distances(tube, near), smoothing)
    return field


def _bounds(tube: Tube) -> Float64Array:
    ends = np.array([tube.start, tube.end])
    radii = np.array([[tube.start_radius], [tube.end_radius]])
    return np.stack([(ends - radii).min(axis=0), (ends + radii).max(axis=0)])


def _smooth_minimum(a: Float32Array, b: Float32Array, width: float) -> Float32Array:
    """Return the lesser distance, blended quadratically where the two differ by less than the width."""
    if width == 0:
        return np.minimum(a, b)
    mix = np.maximum(width - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - mix * mix / (4 * width), np.float32)


def _tube_distances(tube: Tube, grid: list[Float32Array]) -> Float32Array:
    """Return signed distances to a tapered capsule, the hull of two balls; exact outside of it."""
    x, y, z = (axis - start for axis, start in zip(grid, tube.start, strict=True))
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    span = np.subtract(tube.end, tube.start)
    length = max(float(np.linalg.norm(span)), 1e-9)
    ux, uy, uz = (float(value) / length for value in span)
    along = x * ux + y * uy + z * uz
    squared = x * x + y * y + z * z
    away = np.sqrt(np.maximum(squared - along * along, 0))
    sine = float(np.clip((tube.start_radius - tube.end_radius) / length, -0.9999, 0.9999))
    nearest = np.clip(along - away * (sine / np.sqrt(1 - sine * sine)), 0, length)
    radius = tube.start_radius + nearest * ((tube.end_radius - tube.start_radius) / length)
    return np.asarray(np.hypot(along - nearest, away) - radius, np.float32)
