"""Leaves by the hundred as one mesh."""

from __future__ import annotations

import numpy as np

from charmnet.arrays import Float64Array, IndexArray
from pipelines.rendering.description import Foliage

# A leaf about its middle: stem, tip and both edges of a length of 1, above and below that a little thickness.
LEAF = np.array([(-0.5, 0, 0), (0.5, 0, 0), (0, -0.5, 0), (0, 0.5, 0), (0, 0, 0.06), (0, 0, -0.02)])
SIDES = np.array([(2, 1, 4), (1, 3, 4), (3, 0, 4), (0, 2, 4), (1, 2, 5), (3, 1, 5), (0, 3, 5), (2, 0, 5)])
INNERMOST = 0.45  # of the radii; nobody sees what is deeper


def leaves(foliage: Foliage) -> tuple[Float64Array, IndexArray]:
    """Vertices [6 * count, 3] and faces [8 * count, 3]: thin closed leaves, in shells about the origin."""
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
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
