"""A scene's camera in Mitsuba, and what it sees independently of the light."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from charmnet.arrays import Float32Array, Float64Array, IndexArray
from pipelines.rendering import description
from pipelines.rendering.geometry import Layer, Surface
from pipelines.rendering.tracing import trace

GRID = 4  # samples along each side of a pixel, for mask, normals and albedo
CHANNELS = "normal:sh_normal,uv:uv,shape:shape_index,triangle:prim_index"


@dataclass(frozen=True)
class Guides:
    """Pictures that do not depend on light: the mask's source, and guides for denoising.

    Attributes:
        coverage: float32 [H,W], share of each pixel that the foreground covers, 0..1.
        normals: float32 [H,W,3], unit vectors in the world's frame; 0 in the sky.
        albedo: float32 [H,W,3], reflectances 0..1; 0 in the sky.
    """

    coverage: Float32Array
    normals: Float32Array
    albedo: Float32Array


@dataclass(frozen=True)
class FilmCamera:
    """A scene's camera with a film.

    Attributes:
        camera: position, target and field of view.
        width: pixels.
        height: pixels.
    """

    camera: description.Camera
    width: int
    height: int

    def guides(self, layers: list[Layer], seed: int) -> Guides:
        """Render the guides from the triangles that a finer film of the same camera sees.

        Args:
            layers: all surfaces of the scene.
            seed: seed of the sample positions.
        """
        fine = replace(self, width=self.width * GRID, height=self.height * GRID)
        joined = Surface.join([layer.surface for layer in layers])
        # All layers as one mesh: the integrator's time grows with the number of shapes.
        world = {"type": "scene", "sensor": fine.sensor(1), "all": joined.shape({"type": "diffuse"})}
        seen = trace(mi.load_dict(world), {"type": "aov", "aovs": CHANNELS}, seed)
        normals = seen[..., :3]
        uv = seen[..., 3:5]
        is_hit = seen[..., 5] > 0
        triangle = seen[..., 6].astype(np.int64)
        albedo = np.zeros_like(normals)
        albedo[is_hit] = _albedo(layers, triangle[is_hit], uv[is_hit])
        coverage = (is_hit & joined.is_foreground[triangle])[..., None]
        return Guides(_cell_means(coverage)[..., 0], _cell_means(normals), _cell_means(albedo))

    def sensor(self, samples_per_pixel: int) -> dict[str, Any]:
        """Describe the camera as a plugin of Mitsuba."""
        return {
            "type": "perspective",
            "fov": self.camera.field_of_view_degrees,
            "fov_axis": "larger",
            "near_clip": 0.01,
            "far_clip": 1e5,
            "to_world": mi.ScalarTransform4f().look_at(
                origin=list(self.camera.position), target=list(self.camera.target), up=[0, 0, 1]
            ),
            "film": {
                "type": "hdrfilm",
                "width": self.width,
                "height": self.height,
                "rfilter": {"type": "box"},
                "pixel_format": "rgba",
            },
            "sampler": {"type": "multijitter", "sample_count": stratified(samples_per_pixel)},
        }

    def rays(self) -> Float64Array:
        """Return unit directions [H,W,3] through the middles of the pixels."""
        position, target = np.array(self.camera.position), np.array(self.camera.target)
        forward = (target - position) / np.linalg.norm(target - position)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        reach = math.tan(math.radians(self.camera.field_of_view_degrees) / 2)
        pixel = 2 * reach / max(self.width, self.height)
        x = (np.arange(self.width) + 0.5 - self.width / 2) * pixel
        y = (self.height / 2 - np.arange(self.height) - 0.5) * pixel
        rays = forward + x[None, :, None] * right + y[:, None, None] * np.cross(right, forward)
        result: Float64Array = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        return result


def stratified(samples_per_pixel: int) -> int:
    """Round a number of samples up to a nearly square grid, as Mitsuba's sampler needs to give no warning."""
    side = math.isqrt(samples_per_pixel)
    return side * math.ceil(samples_per_pixel / side)


def _albedo(layers: list[Layer], triangle: IndexArray, uv: Float32Array) -> Float32Array:
    """Return colours [N,3] of points on triangles, numbered through all layers in order."""
    ends = np.cumsum([len(layer.surface.faces) for layer in layers])
    owner = np.searchsorted(ends, triangle, side="right")
    albedo = np.zeros((len(triangle), 3), np.float32)
    for index in np.unique(owner):
        here = owner == index
        albedo[here] = layers[index].albedo_at(uv[here])
    return albedo


def _cell_means(fine: NDArray[Any]) -> Float32Array:
    """Return the mean of each cell of `GRID` by `GRID` samples."""
    height, width = (length // GRID for length in fine.shape[:2])
    result: Float32Array = fine.reshape(height, GRID, width, GRID, -1).mean(axis=(1, 3), dtype=np.float32)
    return result
