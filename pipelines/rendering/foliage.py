"""Meshes of many leaves."""

from __future__ import annotations

import numpy as np

from charmnet.arrays import Float64Array, IndexArray
from pipelines.rendering.description import Foliage

# A leaf of length 1 about its middle: stem, tip, both edges, and a point above and below for its thickness.
LEAF = np.array([(-0.5, 0, 0), (0.5, 0, 0), (0, -0.5, 0), (0, 0.5, 0), (0, 0, 0.06), (0, 0, -0.02)])
SIDES = np.array([(2, 1, 4), (1, 3, 4), (3, 0, 4), (0, 2, 4), (1, 2, 5), (3, 1, 5), (0, 3, 5), (2, 0, 5)])
INNERMOST = 0.45  # share of the radii below which no leaves are made, since none would be seen


def leaves(foliage: Foliage) -> tuple[Float64Array, IndexArray]:
    """Return vertices [6 * count, 3] and faces [8 * count, 3] of thin closed leaves in an ellipsoid."""
    rng = np.random.default_rng(foliage.seed)
    outward = _unit(rng.normal(size=(foliage.count, 3)))
    depth = rng.uniform(INNERMOST**3, 1, size=(foliage.count, 1)) ** (1 / 3)
    middles = outward * depth * np.array(foliage.radii)
    up = _unit(outward + rng.normal(scale=0.6, size=outward.shape))
    along = _unit(np.cross(up, rng.normal(size=outward.shape)))
    frames = np.stack([along, np.cross(up, along), up], axis=1)
    scales = np.array([1, foliage.leaf_width_ratio, 1]) * foliage.leaf_meters
    sizes = rng.uniform(0.7, 1.3, size=(foliage.count, 1, 1))
    vertices = middles[:, None] + sizes * ((LEAF * scales) @ frames)
    faces = SIDES + len(LEAF) * np.arange(foliage.count)[:, None, None]
    return vertices.reshape(-1, 3), faces.reshape(-1, 3)


def _unit(vectors: Float64Array) -> Float64Array:
    result: Float64Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result
