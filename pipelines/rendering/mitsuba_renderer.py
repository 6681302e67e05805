"""A scene under its capture conditions as pictures, by Mitsuba 3 (path tracing).

Needs the extra `render`. The light of the conditions is mixed from sources that are rendered once
(`light_mixing`), each cleaned of noise by Open Image Denoise before it is mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mitsuba as mi
import numpy as np

from charmnet.arrays import Float32Array, Float64Array, MaskArray, UInt8Array
from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.camera import Camera
from pipelines.rendering.conditions import Lighting
from pipelines.rendering.denoising import denoise
from pipelines.rendering.description import Scene
from pipelines.rendering.geometry import layers_of
from pipelines.rendering.light_mixing import Mix, Source, mix
from pipelines.rendering.sky_picture import sky_picture
from pipelines.rendering.tone import develop, white_balance
from pipelines.rendering.world import World

VARIANT = "scalar_rgb"  # needs nothing but the wheel: no LLVM, no GPU
SAMPLES_PER_PIXEL = 8
COVERAGE_PIXELS = 64  # along the longer side, to tell how much a foreground covers
FOREGROUND_COVERAGE = 0.5  # of a pixel, to be foreground
MAX_DEPTH = {False: 4, True: 7}  # of light paths, by whether the scene is indoors
INDOOR_SAMPLING = 2  # times the samples, as light comes in through openings


@dataclass(frozen=True)
class RenderedView:
    """
    Attributes:
        images: uint8 [H,W,3] sRGB, in the order of the lightings; aligned pixel for pixel.
        foreground_mask: uint8 [H,W] of 0 and 1: where the foreground covers at least half of a pixel.
    """

    images: tuple[UInt8Array, ...]
    foreground_mask: MaskArray


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
        samples_per_pixel: light paths per pixel and source; indoors `INDOOR_SAMPLING` times as many.
        seed: of the sampling. The same seed gives the same bytes, whatever the number of threads, for one
            variant and version of the renderer and one type of processor.
        variant: of Mitsuba.

    Raises:
        DataError: the scene has not just one foreground, or a mesh of the user's cannot be read.
    """
    mi.set_variant(variant)
    layers, camera = layers_of(scene), Camera(scene.camera, width, height)
    guides = camera.guides(layers, seed)
    samples = samples_per_pixel * (INDOOR_SAMPLING if scene.indoor else 1)
    world = World(layers, camera.sensor(samples), MAX_DEPTH[scene.indoor])
    mixes = {condition: mix(scene, lighting) for condition, lighting in lightings.items()}
    sources = {source: None for one in mixes.values() for source in one.weights}
    seen = {source: world.render(source, seed) for source in sources}
    covered = next(iter(seen.values()))[1]  # the same for all but lamps, which glow beyond their glass
    lit = {source: denoise(noisy, guides.albedo, guides.normals) for source, (noisy, _) in seen.items()}
    images = []
    for condition, lighting in lightings.items():
        light = mixed(lit, mixes[condition])
        if not covered.all():
            light = light + (1 - covered) * sky_picture(camera.rays(), mixes[condition], lighting)
        images.append(exposed(light, scene.indoor, mixes[condition], lighting))
    return RenderedView(tuple(images), (guides.coverage >= FOREGROUND_COVERAGE).astype(np.uint8))


def foreground_coverage(scene: Scene, width: int, height: int, variant: str = VARIANT) -> float:
    """The share of a picture of these proportions that the foreground covers, 0..1, from a small mask.

    Raises:
        DataError: as `render_view`.
    """
    mi.set_variant(variant)
    shrink = max(1.0, max(width, height) / COVERAGE_PIXELS)
    camera = Camera(scene.camera, max(1, round(width / shrink)), max(1, round(height / shrink)))
    return float(camera.guides(layers_of(scene), seed=0).coverage.mean())


def mixed(lit: Mapping[Source, Float32Array], mix: Mix) -> Float64Array:
    """[H,W,3] radiance of a scene, the sky apart, from that under each source."""
    return np.sum([weight * lit[source] for source, weight in mix.weights.items()], axis=0)


def exposed(light: Float64Array, indoor: bool, mix: Mix, lighting: Lighting) -> UInt8Array:
    """[H,W,3] uint8 sRGB as a camera that is set for this light gives it."""
    white = lighting.indoor_white_kilolux if indoor else lighting.white_kilolux
    return develop(light / white, white_balance(mix.daylight(), lighting.white_balance))
