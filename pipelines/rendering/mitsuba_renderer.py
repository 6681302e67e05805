"""A scene under its capture conditions as pictures, by Mitsuba 3 (path tracing).

Needs the extra `render`. The light of the conditions is mixed from sources that are rendered once
(`light_mixing`), each cleaned of noise by Open Image Denoise before it is mixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import mitsuba as mi
import numpy as np
from numpy.typing import NDArray

from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.conditions import Lighting
from pipelines.rendering.denoising import denoise
from pipelines.rendering.description import Scene
from pipelines.rendering.geometry import Geometry, to_shape
from pipelines.rendering.light_mixing import Lamps, Mix, Source, mix
from pipelines.rendering.sky_picture import sky_picture
from pipelines.rendering.tone import develop, white_balance

VARIANT = "scalar_rgb"  # needs nothing but the wheel: no LLVM, no GPU
SAMPLES_PER_PIXEL = 16
GUIDE_GRID = 4  # samples along either side of a pixel, for mask, normals and albedo
COVERAGE_PIXELS = 64  # along the longer side, to tell how much a foreground covers
FOREGROUND_COVERAGE = 0.5  # of a pixel, to be foreground
MAX_DEPTH = {False: 4, True: 7}  # of light paths, by whether the scene is indoors
INDOOR_SAMPLING = 2  # times the samples, as light comes in through openings

UInt8Array = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RenderedView:
    """
    Attributes:
        images: uint8 [H,W,3] sRGB, in the order of the lightings; aligned pixel for pixel.
        foreground_mask: uint8 [H,W] of 0 and 1: where the foreground covers at least half of what is seen.
    """

    images: tuple[UInt8Array, ...]
    foreground_mask: UInt8Array


def render_view(
    scene: Scene,
    lightings: Mapping[CaptureCondition, Lighting],
    width: int,
    height: int,
    samples_per_pixel: int = SAMPLES_PER_PIXEL,
    seed: int = 0,
    variant: str = VARIANT,
) -> RenderedView:
    """The scene from its camera in every lighting.

    Args:
        width, height: of the pictures, in pixels.
        samples_per_pixel: light paths per pixel and source.
        seed: of the sampling. The same seed gives the same bytes, whatever the number of threads, for one
            variant and version of the renderer and one type of processor.
        variant: of Mitsuba.

    Raises:
        DataError: the scene has not just one foreground, or a mesh of the user's cannot be read.
    """
    mi.set_variant(variant)
    mixes = {condition: mix(scene, lighting) for condition, lighting in lightings.items()}
    view = View(scene, width, height, seed)
    sources = {source: None for one in mixes.values() for source in one.weights}
    lit = {source: view.lit_by(source, samples_per_pixel) for source in sources}
    images = tuple(view.develop(lit, mixes[condition], lighting) for condition, lighting in lightings.items())
    return RenderedView(images, view.foreground_mask)


def foreground_coverage(scene: Scene, width: int, height: int, variant: str = VARIANT) -> float:
    """The share of a picture that the foreground covers, 0..1, from a small mask (about 0.1 s).

    Raises:
        DataError: as `render_view`.
    """
    mi.set_variant(variant)
    shrink = max(1.0, max(width, height) / COVERAGE_PIXELS)
    camera = Camera(scene, max(1, round(width / shrink)), max(1, round(height / shrink)), seed=0)
    return float(camera.guides(Geometry.of(scene))[1].mean())


@dataclass(frozen=True)
class Camera:
    """The scene's camera with a film of its own size."""

    scene: Scene
    width: int
    height: int
    seed: int

    def take(self, integrator: dict[str, Any], samples_per_pixel: int, objects: dict[str, Any]) -> Floats:
        """float32 [H,W,channels] of what the integrator measures, averaged over each pixel."""
        world = mi.load_dict(
            {"type": "scene", "integrator": integrator, "sensor": self._sensor(samples_per_pixel), **objects}
        )
        return np.asarray(mi.render(world, seed=self.seed), np.float32)

    def guides(self, geometry: Geometry) -> tuple[Floats, Floats]:
        """Normals of the world, float32 [H,W,3], and the share of each pixel that the foreground covers, [H,W]."""
        fine = replace(self, width=self.width * GUIDE_GRID, height=self.height * GUIDE_GRID)
        shapes = {
            "0_rest": to_shape(geometry.rest, bsdf={"type": "diffuse"}),
            "1_foreground": to_shape(geometry.foreground, bsdf={"type": "diffuse"}),
        }
        seen = fine.take({"type": "aov", "aovs": "n:sh_normal,i:shape_index"}, 1, shapes)
        is_foreground = seen[..., 3] == 2  # shapes are counted from 1; where there is none stands 0
        return _shrunk(seen[..., :3]), _shrunk(is_foreground.astype(np.float32))[..., 0]

    def rays(self) -> NDArray[np.float64]:
        """[H,W,3] unit directions through the middles of the pixels."""
        position, target = (
            np.array(point) for point in (self.scene.camera.position, self.scene.camera.target)
        )
        forward = (target - position) / np.linalg.norm(target - position)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        reach = math.tan(math.radians(self.scene.camera.field_of_view_degrees) / 2)
        pixel = 2 * reach / max(self.width, self.height)
        x = (np.arange(self.width) + 0.5 - self.width / 2) * pixel
        y = (self.height / 2 - np.arange(self.height) - 0.5) * pixel
        rays = forward + x[None, :, None] * right + y[:, None, None] * np.cross(right, forward)
        return rays / np.linalg.norm(rays, axis=-1, keepdims=True)

    def _sensor(self, samples_per_pixel: int) -> dict[str, Any]:
        camera = self.scene.camera
        return {
            "type": "perspective",
            "fov": camera.field_of_view_degrees,
            "fov_axis": "larger",
            "near_clip": 0.01,
            "far_clip": 1e5,
            "to_world": mi.ScalarTransform4f().look_at(
                origin=list(camera.position), target=list(camera.target), up=[0, 0, 1]
            ),
            "film": {
                "type": "hdrfilm",
                "width": self.width,
                "height": self.height,
                "rfilter": {"type": "box"},
                "pixel_format": "rgba",
            },
            "sampler": {"type": "multijitter", "sample_count": samples_per_pixel},
        }


class View:
    """One view with what its conditions share: shapes, mask, guides for the denoiser."""

    def __init__(self, scene: Scene, width: int, height: int, seed: int) -> None:
        geometry = Geometry.of(scene)
        self._scene = scene
        self._camera = Camera(scene, width, height, seed)
        self._shapes = geometry.shapes()
        self._normals, coverage = self._camera.guides(geometry)
        self.foreground_mask = (coverage >= FOREGROUND_COVERAGE).astype(np.uint8)
        glow = {"type": "path", "max_depth": 1}
        self._albedo = self._camera.take(glow, GUIDE_GRID**2, geometry.glowing())[..., :3]
        self._covered: Floats | None = None

    def lit_by(self, source: Source, samples_per_pixel: int) -> Floats:
        """float32 [H,W,3] radiance of the scene, the sky apart, under one source."""
        indoor = self._scene.indoor
        path = {
            "type": "path",
            "max_depth": MAX_DEPTH[indoor],
            "hide_emitters": not isinstance(source, Lamps),
        }
        samples = samples_per_pixel * (INDOOR_SAMPLING if indoor else 1)
        seen = self._camera.take(path, samples, {**source.emitters(), **self._shapes})
        if self._covered is None:
            self._covered = seen[..., 3:]
        return denoise(seen[..., :3], self._albedo, self._normals)

    def develop(self, lit: Mapping[Source, Floats], mix: Mix, lighting: Lighting) -> UInt8Array:
        """[H,W,3] uint8 sRGB of one condition."""
        light = sum((weight * lit[source] for source, weight in mix.weights.items()), np.zeros(3))
        if self._covered is not None and not self._covered.all():
            light = light + (1 - self._covered) * sky_picture(self._camera.rays(), mix, lighting)
        white = lighting.indoor_white_kilolux if self._scene.indoor else lighting.white_kilolux
        return develop(light / white, white_balance(mix.daylight(), lighting.white_balance))


def _shrunk(fine: Floats) -> Floats:
    """The mean of each cell of `GUIDE_GRID` by as many pixels."""
    height, width = (length // GUIDE_GRID for length in fine.shape[:2])
    return fine.reshape(height, GUIDE_GRID, width, GUIDE_GRID, -1).mean(axis=(1, 3))
