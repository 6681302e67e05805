"""Speed of rendering scenes, the time that mixing their light saves, and the noise that is left.

  python -m pipelines.benchmarks.rendering speed
  python -m pipelines.benchmarks.rendering mixing --size 256x144
  python -m pipelines.benchmarks.rendering noise --size 256x256
  python -m pipelines.benchmarks.rendering tasks
  python -m pipelines.benchmarks.rendering variants --variant cuda_ad_rgb

Seconds are CPU seconds of one thread, whatever runs beside it; those of `tasks` and `variants` are a clock's,
on an idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import cv2
import drjit
import numpy as np

from charmnet.arrays import Float32Array, FloatArray, UInt8Array
from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.separate_renders import render_separately
from pipelines.conversion.build import DatasetBuild
from pipelines.rendering import mitsuba_renderer
from pipelines.rendering.assets import Assets
from pipelines.rendering.conditions import Conditions, Lighting
from pipelines.rendering.denoising import denoise
from pipelines.rendering.description import Scene
from pipelines.rendering.geometry import layers_of
from pipelines.rendering.job import RenderSettings, RenderTask, View, fit_scene, render
from pipelines.rendering.mitsuba_renderer import SAMPLES_PER_PIXEL, VARIANT, render_view
from pipelines.runtime.cluster import disconnect, start_here
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection

Rows = Iterator[tuple[str, ...]]
Size = tuple[int, int]
"""(width, height) in pixels."""

T = TypeVar("T")

FIELD = View("field", "human", 2, 0)
ROOM = View("room", "human", 4, 0)
VIEWS = (FIELD, ROOM)
SMALL: Size = (256, 256)
LARGE: Size = (512, 288)
SAMPLES = (8, 16)
REFERENCE_SAMPLES = 64
MIXING_REFERENCE_SAMPLES = 32
NOISY_CONDITIONS = (CaptureCondition.NOON_CLEAR, CaptureCondition.NIGHT)
"""The conditions that together have every kind of light source."""

VISIBLE_LEVELS = 4.0
"""Levels of 255 by which neighbouring pixels of a smooth surface may differ unseen."""

_TASK_VIEWS = 6
_JPEG_QUALITY = 95


def settings_of(size: Size, samples: int = SAMPLES_PER_PIXEL) -> RenderSettings:
    """Return the default settings with a size of the picture and samples per pixel."""
    width, height = size
    return RenderSettings(width, height, samples, _JPEG_QUALITY, Conditions.load(), Assets(), VARIANT)


def scene_of(view: View, settings: RenderSettings) -> Scene:
    """Return the scene of a view.

    Raises:
        SystemExit: no foreground of a fit size was found.
    """
    scene = fit_scene(view, settings)
    if isinstance(scene, Rejection):
        raise SystemExit(scene.reason)
    return scene


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what `work` returns and its CPU seconds on one thread."""
    drjit.set_thread_count(1)
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def speed() -> Rows:
    """Time a whole task: scene, ten pictures, mask, files; the start of the renderer is left out."""
    yield "size", "view", "seconds", "images a minute"
    with tempfile.TemporaryDirectory() as folder:
        _warm_up(folder)
        for size, view in ((SMALL, FIELD), (LARGE, FIELD), (SMALL, ROOM)):
            task = RenderTask(view, settings_of(size))
            _, seconds = timed(partial(task.write, Location.of(folder), "view.parquet"))
            rate = 60 * NUM_CONDITIONS / seconds
            yield _size_text(size), view.id, f"{seconds:.1f}", f"{rate:.1f}"


def variants(variant: str) -> Rows:
    """Time a whole task by the default variant, and twice by another, which compiles its kernels first."""
    yield "size", "view", f"{VARIANT}, seconds", f"{variant}, first", f"{variant}, again", "images a minute"
    with tempfile.TemporaryDirectory() as folder:
        _warm_up(folder)
        for view in VIEWS:
            for size in (SMALL, LARGE):
                settings = settings_of(size)
                task_seconds = []
                for name in (VARIANT, variant, variant):
                    started = time.perf_counter()
                    task = RenderTask(view, replace(settings, variant=name))
                    task.write(Location.of(folder), "view.parquet")
                    task_seconds.append(time.perf_counter() - started)
                rate = 60 * NUM_CONDITIONS / task_seconds[-1]
                cells = [f"{seconds:.1f}" for seconds in task_seconds]
                yield _size_text(size), view.id, *cells, f"{rate:.1f}"


def _warm_up(folder: str) -> None:
    RenderTask(FIELD, settings_of((32, 32), 1)).write(Location.of(folder), "first.parquet")


def mixing(size: Size = (128, 72)) -> Rows:
    """Compare ten conditions mixed from sources, with all and half of the samples, with separate renders.

    The reference of each is ten separate renders of many samples from another seed.
    """
    yield "view", "pictures", "samples", "seconds", "PSNR", "worst condition", "mean difference"
    for view in VIEWS:
        settings = settings_of(size)
        scene = scene_of(view, settings)
        lightings = settings.conditions.draw(view.rng("light"))
        layers_of(scene)  # kept by the renderer, so that its time falls to neither way
        width, height = size
        separate = partial(render_separately, scene, lightings, width, height)
        mixed = partial(_render_mixed, scene, lightings, width, height)
        reference = np.stack(separate(MIXING_REFERENCE_SAMPLES, seed=2)).astype(float)
        full = SAMPLES_PER_PIXEL
        ways: list[tuple[str, int, Callable[[], Sequence[UInt8Array]]]] = [
            ("separate", full, partial(separate, full, seed=1)),
            ("mixed", full, partial(mixed, full)),
            ("mixed", full // 2, partial(mixed, full // 2)),
        ]
        for name, samples, way in ways:
            images, seconds = timed(way)
            difference = np.stack(images) - reference
            yield (
                view.id,
                name,
                str(samples),
                f"{seconds:.1f}",
                f"{psnr(difference):.1f} dB",
                f"{min(map(psnr, difference)):.1f} dB",
                f"{np.abs(difference).mean():.2f}",
            )


def _render_mixed(
    scene: Scene, lightings: Mapping[CaptureCondition, Lighting], width: int, height: int, samples: int
) -> Sequence[UInt8Array]:
    return render_view(scene, lightings, width, height, samples).images


def noise(size: Size = (128, 128)) -> Rows:
    """Compare with many samples of another seed: the whole error, and the part of it that is grain."""
    yield "view", "samples", "denoised", "PSNR", "grain, levels", "pixels with visible grain"
    for view in VIEWS:
        settings = settings_of(size)
        reference = render_pictures(view, settings, REFERENCE_SAMPLES, seed=1).astype(float)
        for samples in SAMPLES:
            for denoised in (True, False):
                pictures = render_pictures(view, settings, samples, seed=0, denoised=denoised)
                difference = pictures - reference
                grain = np.abs(grain_of(difference))
                yield (
                    view.id,
                    str(samples),
                    "yes" if denoised else "no",
                    f"{psnr(difference):.1f} dB",
                    f"{grain.mean():.2f}",
                    f"{(grain > VISIBLE_LEVELS).any(axis=-1).mean():.2%}",
                )


def render_pictures(
    view: View, settings: RenderSettings, samples: int, seed: int, *, denoised: bool = True
) -> UInt8Array:
    """Return uint8 [conditions,H,W,3] of the noisy conditions."""
    drawn = settings.conditions.draw(view.rng("light"))
    lightings = {condition: drawn[condition] for condition in NOISY_CONDITIONS}
    scene = scene_of(view, settings)
    with patch.object(mitsuba_renderer, "denoise", denoise if denoised else _keep_noise):
        rendered = render_view(scene, lightings, settings.width, settings.height, samples, seed)
    return np.stack(rendered.images)


def _keep_noise(light: Float32Array, albedo: Float32Array, normals: Float32Array) -> Float32Array:
    """Return the light as it is: a denoiser's substitute."""
    del albedo, normals
    return light


def grain_of(difference: FloatArray) -> FloatArray:
    """Return [N,H,W,3] differences without the part that changes slowly over the picture."""
    return np.stack([picture - cv2.GaussianBlur(picture, (0, 0), 2) for picture in difference])


def psnr(difference: FloatArray) -> float:
    """Return the peak signal-to-noise ratio in dB of differences on the scale 0 to 255."""
    return float(20 * np.log10(255) - 10 * np.log10(np.square(difference).mean()))


def tasks() -> Rows:
    """Time the same six views by one task at a time and by two."""
    yield "tasks", "seconds"
    views = [replace(FIELD, scene=number) for number in range(_TASK_VIEWS)]
    for count in (1, 2):
        start_here(num_cpus=count)
        with tempfile.TemporaryDirectory() as folder:
            build = DatasetBuild(Location.of(Path(folder, "out")), {"command": "benchmark"})
            started = time.perf_counter()
            render(build, views, settings_of((128, 72), 4), max_rejected=0)
            yield str(count), f"{time.perf_counter() - started:.1f}"
        disconnect()


def _size(text: str) -> Size:
    width, height = text.split("x")
    return int(width), int(height)


def _size_text(size: Size) -> str:
    width, height = size
    return f"{width}x{height}"


def _rows(arguments: argparse.Namespace) -> Rows:
    sizes = [arguments.size] if arguments.size else []
    measures: dict[str, Callable[[], Rows]] = {
        "speed": speed,
        "mixing": partial(mixing, *sizes),
        "noise": partial(noise, *sizes),
        "tasks": tasks,
        "variants": partial(variants, arguments.variant),
    }
    return measures[arguments.measure]()


def main() -> None:
    """Print the rows of a table."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("measure", choices=("speed", "mixing", "noise", "tasks", "variants"))
    parser.add_argument("--size", type=_size, metavar="WxH", help="of mixing (128x72) and noise (128x128)")
    parser.add_argument("--variant", default="llvm_ad_rgb", help="of Mitsuba, for variants (%(default)s)")
    for row in _rows(parser.parse_args()):
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
