"""Boxes around things, for tests of collisions and of sight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from pipelines.rendering.description import (
    Ball,
    Blend,
    Box,
    Extrusion,
    Foliage,
    Lathe,
    MeshFile,
    Part,
    Pose,
    Shape,
    Thing,
    Tube,
)
from pipelines.rendering.shapes import to_mesh, transform

CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)


@dataclass(frozen=True, eq=False)
class Solids:
    """Boxes of any orientation.

    Attributes:
        centers: float64 [N, 3], metres.
        axes: float64 [N, 3, 3]; row i of a box is the direction of its i-th edges, of length 1.
        halves: float64 [N, 3], half the lengths of those edges.
    """

    centers: np.ndarray
    axes: np.ndarray
    halves: np.ndarray

    @classmethod
    def join(cls, groups: Iterable[Solids]) -> Solids:
        """Join the boxes of all groups in their order."""
        groups = [cls(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3))), *groups]
        return cls(
            np.concatenate([group.centers for group in groups]),
            np.concatenate([group.axes for group in groups]),
            np.concatenate([group.halves for group in groups]),
        )

    def __len__(self) -> int:
        return len(self.centers)

    def corners(self) -> np.ndarray:
        """Return the corners, float64 [N, 8, 3]."""
        edges = CORNERS[None] * self.halves[:, None]
        result: np.ndarray = self.centers[:, None] + edges @ self.axes
        return result

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest x, y and z of all boxes, float64 [3] each."""
        corners = self.corners().reshape(-1, 3)
        return corners.min(0), corners.max(0)

    def posed(self, pose: Pose) -> Solids:
        """Return the boxes scaled, turned and moved."""
        turn = transform(replace(pose, scale=1.0))[:3, :3]
        centers = pose.scale * self.centers @ turn.T + np.array(pose.position)
        return Solids(centers, self.axes @ turn.T, pose.scale * self.halves)

    def near(self, lowest: np.ndarray, highest: np.ndarray) -> Solids:
        """Return the boxes whose surrounding balls touch the upright box between two corners."""
        radii = np.linalg.norm(self.halves, axis=1)[:, None]
        kept = ((self.centers + radii >= lowest) & (self.centers - radii <= highest)).all(1)
        return Solids(self.centers[kept], self.axes[kept], self.halves[kept])

    def touches(self, other: Solids) -> bool:
        """Tell whether any of these boxes overlaps any of the other ones."""
        if not len(self) or not len(other):
            return False
        candidates = other.near(*self.bounds())
        if not len(candidates):
            return False
        return any(_overlap(self, i, candidates).any() for i in range(len(self)))

    def hidden(self, eye: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Find the points that a box hides from the eye.

        Args:
            eye: float64 [3].
            points: float64 [P, 3].

        Returns:
            bool [P], true where a point is hidden.
        """
        boxes = self.near(np.minimum(eye, points.min(0)), np.maximum(eye, points.max(0)))
        start = np.einsum("nij,nj->ni", boxes.axes, eye - boxes.centers)[:, None]
        step = np.einsum("nij,pj->npi", boxes.axes, points - eye)
        step = np.where(np.abs(step) < 1e-9, 1e-9, step)
        near, far = (-boxes.halves[:, None] - start) / step, (boxes.halves[:, None] - start) / step
        entry, leave = np.minimum(near, far).max(2), np.maximum(near, far).min(2)
        result: np.ndarray = ((entry < leave) & (leave > 0) & (entry < 1)).any(0)
        return result


def solids_of(thing: Thing) -> Solids:
    """Return the boxes around a thing's parts in the scene; a blend has one for each of its tubes."""
    return _solids_of_parts(thing.parts).posed(thing.pose)


def bounding_box(thing: Thing) -> Solids:
    """Return the one box around a thing, turned as the thing is."""
    return upright_box(*_solids_of_parts(thing.parts).bounds()).posed(thing.pose)


def upright_box(lowest: np.ndarray, highest: np.ndarray) -> Solids:
    """Return the upright box between two corners, float64 [3] each."""
    return Solids((lowest + highest)[None] / 2, np.eye(3)[None], (highest - lowest)[None] / 2)


@lru_cache(maxsize=512)
def _solids_of_parts(parts: tuple[Part, ...]) -> Solids:
    return Solids.join(_solids_of_shape(part.shape).posed(part.pose) for part in parts)


def _solids_of_shape(shape: Shape) -> Solids:
    if isinstance(shape, Blend):
        return Solids.join(_solid_of_tube(tube) for tube in shape.tubes)
    if isinstance(shape, Tube):
        return _solid_of_tube(shape)
    lowest, highest = _bounds_of_shape(shape)
    return upright_box(np.array(lowest, dtype=float), np.array(highest, dtype=float))


def _bounds_of_shape(
    shape: Box | Ball | Lathe | Extrusion | Foliage | MeshFile,
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(shape, Box):
        return -np.array(shape.size) / 2, np.array(shape.size) / 2
    if isinstance(shape, Ball | Foliage):
        return -np.array(shape.radii), np.array(shape.radii)
    if isinstance(shape, Lathe):
        radii, heights = zip(*shape.profile, strict=True)
        return np.array([-max(radii)] * 2 + [min(heights)]), np.array([max(radii)] * 2 + [max(heights)])
    if isinstance(shape, Extrusion):
        points = np.array(shape.outline)
        half = shape.width / 2
        (left, bottom), (right, top) = points.min(0), points.max(0)
        return np.array([left, -half, bottom]), np.array([right, half, top])
    vertices = to_mesh(shape).vertices
    return vertices.min(0), vertices.max(0)


def _solid_of_tube(tube: Tube) -> Solids:
    start, end = np.array(tube.start, dtype=float), np.array(tube.end, dtype=float)
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length if length > 1e-9 else np.array([0.0, 0.0, 1.0])
    radius = max(tube.start_radius, tube.end_radius)
    first = start - along * tube.start_radius
    last = end + along * tube.end_radius
    side = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    side /= np.linalg.norm(side)
    half = float(np.linalg.norm(last - first)) / 2
    return Solids(
        (first + last)[None] / 2,
        np.array([along, side, np.cross(along, side)])[None],
        np.array([[half, radius, radius]]),
    )


def _overlap(boxes: Solids, index: int, others: Solids) -> np.ndarray:
    """Find the others that one box overlaps, bool [N]: no axis separates them (separating axis theorem)."""
    box_axes = boxes.axes[index]
    between = others.centers - boxes.centers[index]
    crossed = np.cross(box_axes[None, :, None], others.axes[:, None]).reshape(len(others), 9, 3)
    axes = np.concatenate([np.broadcast_to(box_axes, (len(others), 3, 3)), others.axes, crossed], axis=1)
    reach = np.abs(axes @ box_axes.T) @ boxes.halves[index]
    other_reach = np.einsum("nki,ni->nk", np.abs(axes @ others.axes.transpose(0, 2, 1)), others.halves)
    apart = np.abs(np.einsum("nki,ni->nk", axes, between)) > reach + other_reach - 1e-9
    # Parallel edges have no direction across both: such an axis separates nothing.
    return np.asarray(~(apart & (np.linalg.norm(axes, axis=2) > 1e-6)).any(1))
