"""Path tracing of a scene under its capture conditions, by Mitsuba 3.

Needs the extra `render`. The light of the conditions is mixed from sources that are rendered once
(`light_mixing`); Open Image Denoise removes the noise of each before it is mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mitsuba as mi
import numpy as np

from charmnet.arrays import Float32Array, Float64Array, MaskArray, UInt8Array
from charmnet.vocabulary import CaptureCondition
from pipelines.rendering.camera import FilmCamera
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
COVERAGE_PIXELS = 64  # along the longer side of the picture that measures a foreground's coverage
FOREGROUND_COVERAGE = 0.5  # share of a pixel from which on it is foreground
MAX_DEPTH = {False: 4, True: 7}  # segments of light paths, by whether the scene is indoors
INDOOR_SAMPLING = 2  # factor on the samples indoors, where light comes in through openings


@dataclass(frozen=True)
class RenderedView:
    """Pictures of one view.

    Attributes:
        images: uint8 [H,W,3] sRGB, in the order of the lightings; aligned pixel for pixel.
        foreground_mask: uint8 [H,W], 1 where the foreground covers at least half of a pixel, else 0.
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
    """Render a scene from its camera in every lighting.

    Args:
        scene: what is rendered.
        lightings: light by condition.
        width: pixels.
        height: pixels.
        samples_per_pixel: light paths per pixel and source; indoors `INDOOR_SAMPLING` times as many.
        seed: seed of the sampling. The same seed gives the same bytes for any number of threads, on one type
            of processor and with one variant and version of the renderer.
        variant: variant of Mitsuba.

    Raises:
        DataError: the scene has no foreground or more than one, or a mesh file cannot be read.
    """
    mi.set_variant(variant)
    layers = layers_of(scene)
    camera = FilmCamera(scene.camera, width, height)
    guides = camera.guides(layers, seed)
    samples = samples_per_pixel * (INDOOR_SAMPLING if scene.indoor else 1)
    world = World(layers, camera.sensor(samples), MAX_DEPTH[scene.indoor])
    mixes = {condition: mix(scene, lighting) for condition, lighting in lightings.items()}
    sources = {source: None for one in mixes.values() for source in one.weights}
    seen = {source: world.render(source, seed) for source in sources}
    covered = next(iter(seen.values()))[
        1
    ]  # the same for all sources but lamps, whose glow is wider than their glass
    lit = {source: denoise(noisy, guides.albedo, guides.normals) for source, (noisy, _) in seen.items()}
    images = []
    for condition, lighting in lightings.items():
        light = mix_light(lit, mixes[condition])
        if not covered.all():
            light = light + (1 - covered) * sky_picture(camera.rays(), mixes[condition], lighting)
        images.append(expose(light, scene.indoor, mixes[condition], lighting))
    return RenderedView(tuple(images), (guides.coverage >= FOREGROUND_COVERAGE).astype(np.uint8))


def foreground_coverage(scene: Scene, width: int, height: int, variant: str = VARIANT) -> float:
    """Measure the share of the picture that the foreground covers, 0..1, on a small mask of its proportions.

    Raises:
        DataError: as `render_view`.
    """
    mi.set_variant(variant)
    shrink = max(1.0, max(width, height) / COVERAGE_PIXELS)
    camera = FilmCamera(scene.camera, max(1, round(width / shrink)), max(1, round(height / shrink)))
    return float(camera.guides(layers_of(scene), seed=0).coverage.mean())


def mix_light(lit: Mapping[Source, Float32Array], mix: Mix) -> Float64Array:
    """Return radiance [H,W,3] of a scene without its sky, from its radiance under each source."""
    result: Float64Array = np.sum([weight * lit[source] for source, weight in mix.weights.items()], axis=0)
    return result


def expose(light: Float64Array, indoor: bool, mix: Mix, lighting: Lighting) -> UInt8Array:
    """Return the picture, uint8 [H,W,3] sRGB, of a camera that is set for this light."""
    white = lighting.indoor_white_kilolux if indoor else lighting.white_kilolux
    return develop(light / white, white_balance(mix.daylight(), lighting.white_balance))
