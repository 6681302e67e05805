"""Meshes of a scene for Mitsuba: few and large, one for each kind of surface."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from charmnet.arrays import Float32Array, Float64Array
from pipelines.rendering import patterns
from pipelines.rendering.description import Ball, Color, Material, Part, Pattern, Scene
from pipelines.rendering.shapes import to_mesh, transform

LAMP_GLASS = Material((0.8, 0.8, 0.8))
MIRROR_ALPHA = 0.02  # smallest roughness of microfacets: sampling would miss a lamp's smaller reflection

Plugin = dict[str, Any]


@dataclass(frozen=True)
class Surface:
    """A mesh in the scene's frame.

    Attributes:
        vertices: float32 [V,3], metres.
        normals: float32 [V,3], of unit length.
        uv: float32 [V,2], texture coordinates.
        faces: uint32 [T,3], indices of vertices.
        is_foreground: bool [T].
    """

    vertices: Float32Array
    normals: Float32Array
    uv: Float32Array
    faces: NDArray[np.uint32]
    is_foreground: NDArray[np.bool_]

    @classmethod
    def join(cls, surfaces: Sequence[Surface]) -> Surface:
        """Join meshes into one, their faces in order."""
        starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces[:-1])])
        faces = [surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]
        return cls(
            np.concatenate([surface.vertices for surface in surfaces]),
            np.concatenate([surface.normals for surface in surfaces]),
            np.concatenate([surface.uv for surface in surfaces]),
            np.concatenate(faces).astype(np.uint32),
            np.concatenate([surface.is_foreground for surface in surfaces]),
        )

    def shape(self, bsdf: Plugin) -> Any:
        """Build Mitsuba's mesh with a material."""
        props = mi.Properties()
        props["mesh_bsdf"] = mi.load_dict(bsdf)
        mesh = mi.Mesh(
            "surface",
            len(self.vertices),
            len(self.faces),
            has_vertex_normals=True,
            has_vertex_texcoords=True,
            props=props,
        )
        values = mi.traverse(mesh)
        _put(values, "vertex_positions", self.vertices)
        _put(values, "vertex_normals", self.normals)
        _put(values, "vertex_texcoords", self.uv)
        _put(values, "faces", self.faces)
        values.update()
        return mesh


@dataclass(frozen=True)
class Layer:
    """All surfaces of a scene that have one material, or one finish in many plain colours.

    Attributes:
        material: the material; its colour is white for plain colours.
        surface: all surfaces as one mesh.
        texture: float32 [H,W,3], a pattern or a palette; repeats over 0..1 of the surface's `uv`.
    """

    material: Material
    surface: Surface
    texture: Float32Array

    @classmethod
    def of(cls, material: Material, parts: list[tuple[Color, Surface]]) -> Layer:
        """Join surfaces into a layer.

        Args:
            material: material of all surfaces.
            parts: each surface with its colour, which counts where the material is plain.
        """
        surface = Surface.join([part for _, part in parts])
        if material.pattern is not Pattern.PLAIN:
            texture, meters = patterns.picture(material)
            return cls(material, replace(surface, uv=surface.uv / np.float32(meters)), texture)
        palette = sorted({color for color, _ in parts})
        entries = [palette.index(color) for color, _ in parts]
        across = (np.repeat(entries, [len(part.vertices) for _, part in parts]) + 0.5) / len(palette)
        uv = np.stack([across, np.full_like(across, 0.5)], axis=1).astype(np.float32)
        return cls(material, replace(surface, uv=uv), np.array([palette], np.float32))

    def shape(self) -> Any:
        """Build Mitsuba's mesh in its material."""
        texture = {
            "type": "bitmap",
            "bitmap": mi.Bitmap(self.texture),
            "raw": True,
            "filter_type": "nearest" if self.material.pattern is Pattern.PLAIN else "bilinear",
        }
        return self.surface.shape(_bsdf(self.material, texture))

    def albedo_at(self, uv: Float32Array) -> Float32Array:
        """Return the texture's colours [N,3] at coordinates [N,2]."""
        height, width = self.texture.shape[:2]
        u, v = (uv % 1).T
        rows = np.minimum((v * height).astype(int), height - 1)
        result: Float32Array = self.texture[rows, np.minimum((u * width).astype(int), width - 1)]
        return result


@lru_cache(maxsize=1)  # a view's coverage is measured before the view is rendered
def layers_of(scene: Scene) -> list[Layer]:
    """Build the layers of a scene, one for each material or finish.

    Raises:
        DataError: the scene has no foreground or more than one, or a mesh file cannot be read.
    """
    surfaces: dict[Material, list[tuple[Color, Surface]]] = defaultdict(list)
    for is_foreground, part, matrix in _parts(scene):
        surface = _surface(part, matrix, is_foreground)
        surfaces[_finish(part.material)].append((part.material.color, surface))
    return [Layer.of(material, parts) for material, parts in surfaces.items()]


def _put(values: Any, name: str, array: NDArray[Any]) -> None:
    """Do `values[name] = array` without Mitsuba's comparison of old and new values, number by number."""
    current, kind, _, _ = values.properties[name]
    values.set_dirty(name)
    mi.set_property(current, kind, type(values[name])(array.ravel()))


def _parts(scene: Scene) -> Iterator[tuple[bool, Part, Float64Array]]:
    """Yield whether a part is of the foreground, the part, and its matrix to the scene's frame.

    Lamps are balls of glass.
    """
    foreground = scene.foreground
    for thing in scene.things:
        thing_to_scene = transform(thing.pose)
        for part in thing.parts:
            yield thing is foreground, part, thing_to_scene @ transform(part.pose)
    for lamp in scene.lamps:
        matrix = np.eye(4)
        matrix[:3, 3] = lamp.position
        yield False, Part(Ball((lamp.radius,) * 3), LAMP_GLASS), matrix


def _surface(part: Part, matrix: Float64Array, is_foreground: bool) -> Surface:
    mesh = to_mesh(part.shape)
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    vertices, normals, faces = mesh.vertices, mesh.normals, mesh.faces
    uv = np.zeros((len(vertices), 2), np.float32)
    if (
        part.material.pattern is not Pattern.PLAIN
    ):  # neighbouring triangles differ in their texture coordinates
        vertices, normals = vertices[faces.ravel()], normals[faces.ravel()]
        faces = np.arange(faces.size, dtype=np.int32).reshape(-1, 3)
        uv = _box_projection(vertices * np.float32(scale))
    return Surface(
        (vertices @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32),
        (normals @ (matrix[:3, :3].T / scale)).astype(np.float32),
        uv,
        faces.astype(np.uint32),
        np.full(len(faces), is_foreground),
    )


def _box_projection(corners: Float32Array) -> Float32Array:
    """Return texture coordinates in metres: each triangle seen along the axis that it faces most."""
    a, b, c = corners[0::3], corners[1::3], corners[2::3]
    facing = np.abs(np.cross(b - a, c - a)).argmax(axis=1)
    axes = np.array([[1, 2], [0, 2], [0, 1]])[np.repeat(facing, 3)]
    return np.take_along_axis(corners, axes, axis=1)


def _finish(material: Material) -> Material:
    """Return the material that represents all plain ones which differ by colour alone."""
    if material.pattern is not Pattern.PLAIN:
        return material
    return replace(material, color=(1.0, 1.0, 1.0), second_color=(0.0, 0.0, 0.0), pattern_meters=1.0)


def _bsdf(material: Material, texture: Plugin) -> Plugin:
    alpha = max(material.roughness**2, MIRROR_ALPHA)
    if material.metallic:
        inner = {
            "type": "roughconductor",
            "material": "none",
            "alpha": alpha,
            "specular_reflectance": texture,
        }
    elif material.roughness < 1:
        inner = {"type": "roughplastic", "alpha": alpha, "diffuse_reflectance": texture}
    else:
        inner = {"type": "diffuse", "reflectance": texture}
    return {"type": "twosided", "bsdf": inner}
