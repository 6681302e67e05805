"""A user's own meshes as closed surfaces, upright and of a given height."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from charmnet.arrays import Float64Array, IndexArray
from charmnet.errors import DataError, in_words
from pipelines.rendering.description import MeshFile

Y_UP_SUFFIXES = (".gltf", ".glb")  # y is up by their specification; OBJ and PLY are read with z up


def read_mesh(file: MeshFile) -> tuple[Float64Array, IndexArray]:
    """Read a mesh, scale it, and fill its small holes.

    Larger holes are refused: they would let light in and show the back of the surface.

    Returns:
        Vertices [V, 3] in metres, standing on the origin, and faces [F, 3], counter-clockwise as seen from
        outside.

    Raises:
        DataError: the file cannot be read, has no faces, is flat, or is not closed.
    """
    mesh = _load(Path(file.path))
    if Path(file.path).suffix.lower() in Y_UP_SUFFIXES:
        mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    extent = np.ptp(mesh.vertices, axis=0)
    if not extent.min() > 1e-6 * extent.max():
        raise DataError(f"{file.path}: the mesh is flat ({extent} along x, y and z); expected a solid body")
    _close(mesh, file.path)
    vertices = np.array(mesh.vertices) * (file.height / extent[2])
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    return vertices - (middle[0], middle[1], vertices[:, 2].min()), np.array(mesh.faces)


def _load(path: Path) -> trimesh.Trimesh:
    """Load a file's geometry as one mesh.

    Raises:
        DataError: the file cannot be read or has no faces.
    """
    try:
        scene = trimesh.load_scene(path)
        mesh = scene.to_mesh()
    except Exception as error:
        raise DataError(
            f"{path}: cannot be read as a mesh ({in_words(error)}); expected OBJ, PLY or glTF"
        ) from error
    if not len(mesh.faces):
        raise DataError(
            f"{path}: the file has no faces; export it with its surface, not points or lines alone"
        )
    result: trimesh.Trimesh = mesh
    return result


def _close(mesh: trimesh.Trimesh, path: str) -> None:
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    if not mesh.is_watertight:
        mesh.fill_holes()
    if not mesh.is_watertight:
        raise DataError(
            f"{path}: the mesh is not watertight, light would leak through; close its holes (in Blender: "
            "select its boundary, Face > Fill) and export it again"
        )
    mesh.fix_normals(multibody=True)
