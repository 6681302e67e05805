"""A scene description as few large meshes for Mitsuba: one for each kind of surface."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from pipelines.rendering import patterns
from pipelines.rendering.description import Ball, Color, Material, Part, Pattern, Role, Scene
from pipelines.rendering.shapes import to_mesh, transform

LAMP_GLASS = Material((0.8, 0.8, 0.8))
MIRROR_ALPHA = 0.02  # microfacets no finer than this: a lamp's reflection stays a spot that sampling finds

Floats = NDArray[np.float32]
Plugin = dict[str, Any]


@dataclass(frozen=True)
class Surface:
    """A mesh in the world.

    Attributes:
        vertices, normals: float32 [V,3]. uv: float32 [V,2], metres along the surface. faces: uint32 [T,3].
        color: of a plain material.
    """

    vertices: Floats
    normals: Floats
    uv: Floats
    faces: NDArray[np.uint32]
    color: Color

    @classmethod
    def join(cls, surfaces: Sequence[Surface]) -> Surface:
        """All of them as one mesh."""
        starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces[:-1])])
        faces = [surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]
        return cls(
            np.concatenate([surface.vertices for surface in surfaces]),
            np.concatenate([surface.normals for surface in surfaces]),
            np.concatenate([surface.uv for surface in surfaces]),
            np.concatenate(faces).astype(np.uint32),
            surfaces[0].color,
        )


@dataclass(frozen=True)
class Geometry:
    """What stands in a scene, by what it is made of, and all of it once more by whether it is the foreground.

    Attributes:
        surfaces: (material, mesh, texture); the material stands for all plain ones that differ by colour alone.
    """

    surfaces: tuple[tuple[Material, Surface, Plugin], ...]
    foreground: Surface
    rest: Surface

    @classmethod
    def of(cls, scene: Scene) -> Geometry:
        """
        Raises:
            DataError: there is not just one foreground, or a mesh file cannot be read.
        """
        by_material: dict[Material, list[Surface]] = defaultdict(list)
        by_role: dict[bool, list[Surface]] = {True: [], False: []}
        for is_foreground, part, matrix in _parts(scene):
            surface = _surface(part, matrix)
            by_material[_shared(part.material)].append(surface)
            by_role[is_foreground].append(surface)
        return cls(
            tuple((material, *_textured(material, found)) for material, found in by_material.items()),
            Surface.join(by_role[True]),
            Surface.join(by_role[False]),
        )

    def shapes(self) -> dict[str, Any]:
        """Mitsuba's shapes with their materials."""
        return {
            f"surface{index}": to_shape(surface, bsdf=_bsdf(material, texture))
            for index, (material, surface, texture) in enumerate(self.surfaces)
        }

    def glowing(self) -> dict[str, Any]:
        """The same shapes shining in their own colours: what a camera sees of them is their albedo."""
        return {
            f"surface{index}": to_shape(
                surface, bsdf={"type": "diffuse"}, emitter={"type": "area", "radiance": texture}
            )
            for index, (_, surface, texture) in enumerate(self.surfaces)
        }


def _parts(scene: Scene) -> Iterator[tuple[bool, Part, NDArray[np.float64]]]:
    """(whether it is of the foreground, part, its matrix to the world); lamps are balls of glass."""
    _ = scene.foreground  # there must be just one
    for thing in scene.things:
        place = transform(thing.pose)
        for part in thing.parts:
            yield thing.role is Role.FOREGROUND, part, place @ transform(part.pose)
    for lamp in scene.lamps:
        matrix = np.eye(4)
        matrix[:3, 3] = lamp.position
        yield False, Part(Ball((lamp.radius,) * 3), LAMP_GLASS), matrix


def _surface(part: Part, matrix: NDArray[np.float64]) -> Surface:
    mesh = to_mesh(part.shape)
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    vertices, normals, faces = mesh.vertices, mesh.normals, mesh.faces
    uv = np.zeros((len(vertices), 2), np.float32)
    if (
        part.material.pattern is not Pattern.PLAIN
    ):  # a corner's place in it differs between the triangles there
        corners = faces.ravel()
        vertices, normals, faces = vertices[corners], normals[corners], np.arange(len(corners)).reshape(-1, 3)
        uv = _box_projection(vertices * scale)
    return Surface(
        (vertices @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32),
        (normals @ (matrix[:3, :3].T / scale)).astype(np.float32),
        uv,
        faces.astype(np.uint32),
        part.material.color,
    )


def _box_projection(corners: Floats) -> Floats:
    """Texture coordinates in metres: each triangle seen along the axis that it faces most, v upwards on walls."""
    a, b, c = corners[0::3], corners[1::3], corners[2::3]
    facing = np.abs(np.cross(b - a, c - a)).argmax(axis=1)
    axes = np.array([[1, 2], [0, 2], [0, 1]])[np.repeat(facing, 3)]
    return np.take_along_axis(corners, axes, axis=1).astype(np.float32)


def _shared(material: Material) -> Material:
    """The material that stands for all which differ by colour alone, as each triangle knows its own."""
    if material.pattern is not Pattern.PLAIN:
        return material
    return replace(material, color=(1.0, 1.0, 1.0), second_color=(0.0, 0.0, 0.0), pattern_meters=1.0)


def _textured(material: Material, surfaces: list[Surface]) -> tuple[Surface, Plugin]:
    """The surfaces as one, and their pattern or a palette of their plain colours, which `uv` points into."""
    joined = Surface.join(surfaces)
    if material.pattern is not Pattern.PLAIN:
        pixels, meters = patterns.picture(material)
        return replace(joined, uv=joined.uv / np.float32(meters)), _texture(pixels, "bilinear")
    palette = sorted({surface.color for surface in surfaces})
    entries = [palette.index(surface.color) for surface in surfaces]
    across = (np.repeat(entries, [len(surface.vertices) for surface in surfaces]) + 0.5) / len(palette)
    uv = np.stack([across, np.full_like(across, 0.5)], axis=1).astype(np.float32)
    return replace(joined, uv=uv), _texture(np.array([palette], np.float32), "nearest")


def to_shape(surface: Surface, **plugins: Plugin) -> Any:
    """A Mitsuba mesh with a `bsdf` and perhaps an `emitter`."""
    props = mi.Properties()
    for name, plugin in plugins.items():
        props[name] = mi.load_dict(plugin)
    mesh = mi.Mesh(
        "surface",
        len(surface.vertices),
        len(surface.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=props,
    )
    values = mi.traverse(mesh)
    values["vertex_positions"] = surface.vertices.ravel()
    values["vertex_normals"] = surface.normals.ravel()
    values["vertex_texcoords"] = surface.uv.ravel()
    values["faces"] = surface.faces.ravel()
    values.update()
    return mesh


def _texture(pixels: Floats, filter_type: str) -> Plugin:
    return {"type": "bitmap", "bitmap": mi.Bitmap(pixels), "raw": True, "filter_type": filter_type}


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
