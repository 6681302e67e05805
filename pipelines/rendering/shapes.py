"""Triangle meshes of the shapes of a scene description."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache, singledispatch

import mapbox_earcut
import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from charmnet.arrays import Float32Array, Float64Array, IndexArray
from pipelines.rendering.blending import signed_distances
from pipelines.rendering.description import (
    Ball,
    Blend,
    Box,
    Extrusion,
    Foliage,
    Lathe,
    MeshFile,
    Pose,
    Shape,
    Tube,
)
from pipelines.rendering.foliage import leaves
from pipelines.rendering.mesh_files import read_mesh

CREASE_DEGREES = 40.0  # edges that bend by more are sharp
HARD_CREASE_DEGREES = 10.0  # a turned profile is still smooth around its axis
NO_CREASE_DEGREES = 180.0
LATHE_SEGMENTS = 48
ARC_SEGMENTS = 10  # of an arc, which spans half a circle at most
BEVEL_SEGMENTS = 3
BALL_SUBDIVISIONS = 3
WELD_METERS = 1e-7


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles whose corners run counter-clockwise as seen from outside.

    Attributes:
        vertices: float32 [V, 3], metres; a vertex on a sharp edge is repeated for each side of the edge, so
            that a renderer can shade smoothly by the normals everywhere.
        faces: int32 [F, 3], indices of vertices.
        normals: float32 [V, 3], of unit length, outward.
    """

    vertices: Float32Array
    faces: NDArray[np.int32]
    normals: Float32Array


def transform(pose: Pose) -> Float64Array:
    """Return the 4 x 4 matrix that takes columns (x, y, z, 1) from a thing's own frame to its parent's."""
    roll, pitch, yaw = np.radians([pose.roll_degrees, pose.pitch_degrees, pose.yaw_degrees])
    about_x = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    about_y = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_y @ about_x * pose.scale
    matrix[:3, 3] = pose.position
    return matrix


@singledispatch
def to_mesh(shape: Shape) -> Mesh:
    """Build a shape's surface; it is closed once vertices at one point are merged.

    The same shape gives the same bytes.

    Raises:
        ValueError: the measures enclose no volume, such as a bevel wider than its box.
        DataError: a `MeshFile` cannot be read or is not a closed surface.
        TypeError: the argument is not a shape.
    """
    raise TypeError(
        f"{type(shape).__name__} is no shape; expected one of pipelines.rendering.description.Shape"
    )


@to_mesh.register
def _(shape: Box) -> Mesh:
    half = np.array(shape.size) / 2
    bevel = shape.bevel_meters
    if not 0 <= bevel <= half.min() or half.min() <= 0:
        raise ValueError(f"{shape}: sides must be above 0 and the bevel at most half the shortest one")
    if bevel == 0:
        cube, faces = _unit_cube()
        return _flat(cube * half, faces)
    cube, faces = _cube_surface(np.tan(np.linspace(0, np.pi / 4, BEVEL_SEGMENTS + 1)))
    outward = cube / np.linalg.norm(cube, axis=1, keepdims=True)
    return _shaded(np.copysign(half - bevel, cube) + bevel * outward, faces)


@to_mesh.register
def _(shape: Ball) -> Mesh:
    vertices, faces = _unit_sphere()
    return _shaded(vertices * np.array(shape.radii), faces, NO_CREASE_DEGREES)


@to_mesh.register
def _(shape: Tube) -> Mesh:
    start, end = np.array(shape.start), np.array(shape.end)
    length = float(np.linalg.norm(end - start))
    drop = shape.start_radius - shape.end_radius
    if length <= abs(drop):  # one ball contains the other
        center, radius = (start, shape.start_radius) if drop >= 0 else (end, shape.end_radius)
        vertices, faces = _unit_sphere()
        return _shaded(center + radius * vertices, faces, NO_CREASE_DEGREES)
    tangent = np.arcsin(drop / length)  # elevation at which the cone touches the balls
    lower = _arc(shape.start_radius, -np.pi / 2, tangent)
    upper = _arc(shape.end_radius, tangent, np.pi / 2) + np.array([0, length])
    vertices, faces = _turned(np.concatenate([lower, upper]))
    return _shaded(start + vertices @ _frame_along((end - start) / length), faces)


@to_mesh.register
@lru_cache(maxsize=128)
def _(shape: Blend) -> Mesh:
    origin, field = signed_distances(shape)
    try:
        vertices, faces, _, _ = marching_cubes(
            field, 0.0, spacing=(shape.resolution_meters,) * 3, gradient_direction="descent"
        )
    except (ValueError, RuntimeError):
        raise ValueError(f"{shape}: no surface at this resolution; expected tubes thicker than it") from None
    return _shaded(vertices + origin, faces, NO_CREASE_DEGREES)


@to_mesh.register
def _(shape: Lathe) -> Mesh:
    profile = np.array(shape.profile)
    if profile.ndim != 2 or len(profile) < 2 or profile[:, 0].min() < 0:
        raise ValueError(f"{shape}: expected at least two points with radii from 0 up")
    return _shaded(*_turned(profile), CREASE_DEGREES if shape.smooth else HARD_CREASE_DEGREES)


@to_mesh.register
def _(shape: Extrusion) -> Mesh:
    outline = np.array(shape.outline)
    bevel = shape.bevel_meters
    if not 0 <= bevel <= shape.width / 2 or shape.width <= 0:
        raise ValueError(f"{shape}: the width must be above 0 and the bevel at most half of it")
    turns = np.linspace(0, np.pi / 2, BEVEL_SEGMENTS + 1) if bevel else np.zeros(1)
    rings = [_inset(outline, bevel * (1 - np.sin(turn))) for turn in turns]
    depths = shape.width / 2 - bevel * (1 - np.cos(turns))
    layers = [np.insert(ring, 1, -depth, axis=1) for ring, depth in zip(rings, depths, strict=True)]
    layers += [layer * (1, -1, 1) for layer in reversed(layers)]
    cap = _triangulate(rings[0])
    last = len(outline) * (len(layers) - 1)
    faces = np.concatenate([cap, cap[:, ::-1] + last, _walls(len(layers), len(outline))[:, ::-1]])
    vertices = np.concatenate(layers)
    vertices[:, 1] *= 1 - shape.lean * vertices[:, 2] / (shape.width / 2)
    return _shaded(vertices, faces)


@to_mesh.register
def _(shape: Foliage) -> Mesh:
    return _flat(*leaves(shape))


@to_mesh.register
def _(shape: MeshFile) -> Mesh:
    return _shaded(*read_mesh(shape))


def _flat(vertices: Float64Array, faces: IndexArray) -> Mesh:
    """Build a mesh whose edges are all sharp, much faster than `_shaded` with a crease of 0."""
    normals = np.repeat(_unit(_area_vectors(vertices, faces)), 3, axis=0)
    return _fixed(vertices[faces.ravel()], np.arange(faces.size).reshape(-1, 3), normals)


def _shaded(vertices: Float64Array, faces: IndexArray, crease_degrees: float = CREASE_DEGREES) -> Mesh:
    """Build a mesh with normals weighted by area and vertices split along the sharp edges."""
    if crease_degrees < NO_CREASE_DEGREES:
        vertices, faces = _split_creases(*_welded(vertices, faces), crease_degrees)
    weighted = np.repeat(_area_vectors(vertices, faces), 3, axis=0)
    sums = [np.bincount(faces.ravel(), weighted[:, axis], minlength=len(vertices)) for axis in range(3)]
    return _fixed(vertices, faces, _unit(np.stack(sums, 1)))


def _fixed(vertices: Float64Array, faces: IndexArray, normals: Float64Array) -> Mesh:
    mesh = Mesh(vertices.astype(np.float32), faces.astype(np.int32), normals.astype(np.float32))
    for array in (mesh.vertices, mesh.faces, mesh.normals):
        array.flags.writeable = False  # blends are cached and shared
    return mesh


def _welded(vertices: Float64Array, faces: IndexArray) -> tuple[Float64Array, IndexArray]:
    """Merge vertices at one point and drop triangles that collapse."""
    _, kept, merged = np.unique(
        np.round(vertices / WELD_METERS).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    faces = merged.reshape(-1)[faces]
    collapsed = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    return vertices[kept], faces[~collapsed]


def _split_creases(
    vertices: Float64Array, faces: IndexArray, crease_degrees: float
) -> tuple[Float64Array, IndexArray]:
    """Make one vertex for each set of face corners joined by edges that bend by no more than a crease."""
    corners = np.arange(faces.size)
    following = corners - corners % 3 + (corners + 1) % 3
    edges = np.sort(np.stack([faces.ravel(), faces.ravel()[following]], 1), axis=1)
    order = np.lexsort((corners, edges[:, 1], edges[:, 0]))
    shared = (edges[order[:-1]] == edges[order[1:]]).all(axis=1)
    here, there = order[:-1][shared], order[1:][shared]
    normals = _unit(_area_vectors(vertices, faces))
    bends = np.einsum("ij,ij->i", normals[here // 3], normals[there // 3])
    gentle = bends >= np.cos(np.radians(crease_degrees))
    here, there = here[gentle], there[gentle]
    rows, columns = np.concatenate([here, following[here]]), np.concatenate([following[there], there])
    links = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(faces.size, faces.size))
    _, labels = connected_components(links, directed=False)
    _, first = np.unique(labels, return_index=True)
    return vertices[faces.ravel()[first]], labels.reshape(-1, 3).astype(np.int64)


def _area_vectors(vertices: Float64Array, faces: IndexArray) -> Float64Array:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a)


def _unit(vectors: Float64Array) -> Float64Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Float64Array = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    return result


@cache
def _unit_sphere() -> tuple[Float64Array, IndexArray]:
    sphere = trimesh.creation.icosphere(subdivisions=BALL_SUBDIVISIONS)
    return np.array(sphere.vertices), np.array(sphere.faces)


@cache
def _unit_cube() -> tuple[Float64Array, IndexArray]:
    return _cube_surface(np.ones(1))


def _cube_surface(positive: Float64Array) -> tuple[Float64Array, IndexArray]:
    """Build the surface of the lattice -positive..positive; a coordinate of 0 is there with both signs."""
    values = np.concatenate([-positive[::-1], positive])
    count = len(values)
    lattice = np.arange(count**3).reshape(count, count, count)
    quads = []
    for axis in range(3):
        sheets = np.moveaxis(lattice, axis, 0)  # the two other axes keep their cyclic order
        low, high = (sheet if axis != 1 else sheet.T for sheet in (sheets[0], sheets[-1]))
        quads += [_quads(high), _quads(low)[:, ::-1]]
    used, faces = np.unique(np.concatenate(quads), return_inverse=True)
    return values[np.stack(np.unravel_index(used, lattice.shape), 1)], faces.reshape(-1, 3)


def _quads(lattice: IndexArray) -> IndexArray:
    """Return two triangles for each cell of a sheet of indices, counter-clockwise from axis 0 to axis 1."""
    a, b, c, d = (
        part.ravel() for part in (lattice[:-1, :-1], lattice[1:, :-1], lattice[1:, 1:], lattice[:-1, 1:])
    )
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def _walls(layers: int, points: int) -> IndexArray:
    """Return triangles between closed rings of points.

    They face outward where the rings run counter-clockwise as seen from the last ring.
    """
    lattice = np.arange(layers * points).reshape(layers, points)
    return _quads(np.concatenate([lattice, lattice[:, :1]], axis=1).T)


def _arc(radius: float, start: float, end: float) -> Float64Array:
    """Return (radius, height) points of a circle's arc between two angles of elevation, in radians."""
    angles = np.linspace(start, end, ARC_SEGMENTS + 1)
    return radius * np.stack([np.cos(angles), np.sin(angles)], 1)


def _turned(profile: Float64Array) -> tuple[Float64Array, IndexArray]:
    """Turn a profile about z; an open one gets flat ends, one that ends where it began makes a ring."""
    is_ring = (profile[0] == profile[-1]).all()
    closed = profile if is_ring else np.concatenate([profile[:1] * (0, 1), profile, profile[-1:] * (0, 1)])
    angles = np.linspace(0, 2 * np.pi, LATHE_SEGMENTS, endpoint=False)
    radii, heights = closed[:, :1], closed[:, 1:]
    vertices = np.stack(
        [
            radii * np.cos(angles),
            radii * np.sin(angles),
            np.broadcast_to(heights, (len(closed), len(angles))),
        ],
        2,
    )
    return vertices.reshape(-1, 3), _walls(len(closed), LATHE_SEGMENTS)


def _frame_along(direction: Float64Array) -> Float64Array:
    """Return the rows of a right-handed frame whose third axis is the direction."""
    helper = np.eye(3)[np.argmin(np.abs(direction))]
    first = np.cross(helper, direction)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(direction, first), direction])


def _inset(outline: Float64Array, distance: float) -> Float64Array:
    """Move the edges of an outline inward."""
    edges = _unit(np.roll(outline, -1, axis=0) - outline)
    inward = np.stack([-edges[:, 1], edges[:, 0]], 1)
    before = np.roll(inward, 1, axis=0)
    openness = 1 + np.einsum("ij,ij->i", inward, before)
    result: Float64Array = outline + distance * (inward + before) / np.maximum(openness, 0.3)[:, None]
    return result


def _triangulate(outline: Float64Array) -> IndexArray:
    """Cut an outline [N,2] into triangles, counter-clockwise.

    Raises:
        ValueError: the outline runs clockwise or crosses itself.
    """
    faces = mapbox_earcut.triangulate_float64(outline, np.array([len(outline)], np.uint32))
    faces = faces.reshape(-1, 3).astype(np.int64)
    (ax, az), (bx, bz) = outline.T, np.roll(outline, -1, axis=0).T
    area = np.sum(ax * bz - bx * az)
    (x0, z0), (x1, z1), (x2, z2) = (outline[faces[:, corner]].T for corner in range(3))
    covered = (x1 - x0) * (z2 - z0) - (x2 - x0) * (z1 - z0)
    if area <= 0 or not np.isclose(np.abs(covered).sum(), area, rtol=1e-6):
        raise ValueError(
            f"the outline {outline.tolist()} encloses no simple area; expected counter-clockwise (x, z) "
            "points that do not cross, with a bevel narrower than its thin parts"
        )
    return np.where((covered > 0)[:, None], faces, faces[:, ::-1])
