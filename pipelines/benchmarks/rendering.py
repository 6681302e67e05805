"""How fast scenes are rendered, what mixing their light saves, and how much noise is left.

  python -m pipelines.benchmarks.rendering speed
  python -m pipelines.benchmarks.rendering mixing --size 256x144
  python -m pipelines.benchmarks.rendering noise --size 256x256
  python -m pipelines.benchmarks.rendering tasks
  python -m pipelines.benchmarks.rendering variants --variant cuda_ad_rgb

Seconds are those that one thread computes, whatever runs beside it; those of `tasks` and `variants` are a
clock's, on an idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import cv2
import drjit
import numpy as np

from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition
from pipelines.conversion.build import DatasetBuild
from pipelines.rendering import mitsuba_renderer
from pipelines.rendering.assets import Assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.description import Scene
from pipelines.rendering.geometry import layers_of
from pipelines.rendering.job import RenderTask, Settings, View, fit_scene, render
from pipelines.rendering.mitsuba_renderer import SAMPLES_PER_PIXEL, VARIANT, render_view
from pipelines.runtime.cluster import start_here
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection
from pipelines.benchmarks.separate_renders import render_separately

Rows = Iterator[tuple[str, ...]]
Made = TypeVar("Made")

VIEWS = (View("field", "human", 2, 0), View("room", "human", 4, 0))
SIZES = ((256, 256), (512, 288))  # the larger one for the first view alone
SAMPLES = (8, 16)
REFERENCE_SAMPLES = 64
MIXING_REFERENCE_SAMPLES = 32
NOISY_CONDITIONS = (CaptureCondition.NOON_CLEAR, CaptureCondition.NIGHT)  # by every kind of source
VISIBLE = 4.0  # levels of 255 that neighbouring pixels of a smooth surface may differ by, unseen


def settings(width: int, height: int, samples: int = SAMPLES_PER_PIXEL) -> Settings:
    return Settings(width, height, samples, 95, Conditions.load(), Assets(), VARIANT)


def scene_of(view: View, asked: Settings) -> Scene:
    scene = fit_scene(view, asked)
    if isinstance(scene, Rejection):
        raise SystemExit(scene.reason)
    return scene


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What it makes, and seconds of this process's computing."""
    drjit.set_thread_count(1)
    started = time.process_time()
    made = work()
    return made, time.process_time() - started


def speed() -> Rows:
    """A whole task: scene, ten pictures, mask, files; the first one's start included in none."""
    yield "size", "view", "seconds", "images a minute"
    with tempfile.TemporaryDirectory() as folder:
        RenderTask(VIEWS[0], settings(32, 32, 1)).write(Location.of(folder), "first.parquet")
        for size, view in ((SIZES[0], VIEWS[0]), (SIZES[1], VIEWS[0]), (SIZES[0], VIEWS[1])):
            task = RenderTask(view, settings(*size))
            _, taken = timed(lambda task=task: task.write(Location.of(folder), "view.parquet"))
            rate = 60 * NUM_CONDITIONS / taken
            yield ("{}x{}".format(*size), view.id, f"{taken:.1f}", f"{rate:.1f}")


def variants(variant: str) -> Rows:
    """A whole task by the default variant, and by another that compiles its kernels at first."""
    yield "size", "view", f"{VARIANT}, seconds", f"{variant}, first", f"{variant}, again", "images a minute"
    with tempfile.TemporaryDirectory() as folder:
        RenderTask(VIEWS[0], settings(32, 32, 1)).write(Location.of(folder), "first.parquet")
        for view in VIEWS:
            for size in SIZES:
                asked = settings(*size)
                taken = []
                for name in (VARIANT, variant, variant):
                    started = time.perf_counter()
                    RenderTask(view, replace(asked, variant=name)).write(Location.of(folder), "view.parquet")
                    taken.append(time.perf_counter() - started)
                rate = 60 * NUM_CONDITIONS / taken[-1]
                yield (
                    "{}x{}".format(*size),
                    view.id,
                    *(f"{seconds:.1f}" for seconds in taken),
                    f"{rate:.1f}",
                )


def mixing(width: int = 128, height: int = 72) -> Rows:
    """Ten conditions mixed from sources, with all samples and half of them, and each rendered by itself.

    All are held against ten renders of many samples of other seeds.
    """
    yield "view", "pictures", "samples", "seconds", "PSNR", "worst condition", "mean difference"
    for view in VIEWS:
        asked = settings(width, height)
        scene, lightings = scene_of(view, asked), asked.conditions.draw(view.rng("light"))
        layers_of(scene)  # is kept: cut by neither

        def separate(samples: int, seed: int, scene=scene, lightings=lightings) -> list[np.ndarray]:
            return render_separately(scene, lightings, width, height, samples, seed)

        def mix(samples: int, scene=scene, lightings=lightings) -> tuple[np.ndarray, ...]:
            return render_view(scene, lightings, width, height, samples).images

        reference = np.stack(separate(MIXING_REFERENCE_SAMPLES, seed=2)).astype(float)
        full = SAMPLES_PER_PIXEL
        ways = {"separate": (partial(separate, seed=1), full), "mixed": (mix, full), "half": (mix, full // 2)}
        for name, (way, samples) in ways.items():
            images, taken = timed(partial(way, samples))
            apart = np.stack(images) - reference
            yield (
                view.id,
                name.replace("half", "mixed"),
                str(samples),
                f"{taken:.1f}",
                f"{psnr(apart):.1f} dB",
                f"{min(map(psnr, apart)):.1f} dB",
                f"{np.abs(apart).mean():.2f}",
            )


def noise(width: int = 128, height: int = 128) -> Rows:
    """Against many samples: all of the error, and what of it is grain."""
    yield "view", "samples", "denoised", "PSNR", "grain, levels", "pixels with visible grain"
    for view in VIEWS:
        asked = settings(width, height)
        reference = pictures(view, asked, REFERENCE_SAMPLES, seed=1).astype(float)
        for samples in SAMPLES:
            for denoised in (True, False):
                apart = pictures(view, asked, samples, seed=0, denoised=denoised) - reference
                grain = np.abs(grain_of(apart))
                yield (
                    view.id,
                    str(samples),
                    "yes" if denoised else "no",
                    f"{psnr(apart):.1f} dB",
                    f"{grain.mean():.2f}",
                    f"{(grain > VISIBLE).any(axis=-1).mean():.2%}",
                )


def pictures(view: View, asked: Settings, samples: int, seed: int, denoised: bool = True) -> np.ndarray:
    """uint8 [conditions,H,W,3]."""
    drawn = asked.conditions.draw(view.rng("light"))
    lightings = {condition: drawn[condition] for condition in NOISY_CONDITIONS}
    clean = mitsuba_renderer.denoise if denoised else lambda light, *_: light
    with patch.object(mitsuba_renderer, "denoise", clean):
        made = render_view(scene_of(view, asked), lightings, asked.width, asked.height, samples, seed)
    return np.stack(made.images)


def grain_of(apart: np.ndarray) -> np.ndarray:
    """[N,H,W,3] differences without what changes slowly over the picture."""
    return np.stack([one - cv2.GaussianBlur(one, (0, 0), 2) for one in apart])


def psnr(apart: np.ndarray) -> float:
    return float(20 * np.log10(255) - 10 * np.log10(np.square(apart).mean()))


def tasks() -> Rows:
    """The same six views by one task at a time and by two."""
    import ray

    yield "tasks", "seconds"
    views = [replace(VIEWS[0], scene=number) for number in range(6)]
    for count in (1, 2):
        start_here(num_cpus=count)
        with tempfile.TemporaryDirectory() as folder:
            destination = DatasetBuild(Location.of(Path(folder, "out")), {"command": "benchmark"})
            started = time.perf_counter()
            render(destination, views, settings(128, 72, 4), max_rejected=0)
            yield (str(count), f"{time.perf_counter() - started:.1f}")
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measures = {measure.__name__: measure for measure in (speed, mixing, noise, tasks, variants)}
    parser.add_argument("what", choices=measures)
    parser.add_argument("--size", metavar="WxH", help="of mixing (128x72) and noise (128x128)")
    parser.add_argument("--variant", default="llvm_ad_rgb", help="of Mitsuba, for variants (%(default)s)")
    args = parser.parse_args()
    options = map(int, args.size.split("x")) if args.size else ()
    if args.what == "variants":
        options = (args.variant,)
    for row in measures[args.what](*options):
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
