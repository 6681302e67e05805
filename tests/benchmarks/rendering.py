"""How fast scenes are rendered, what mixing their light saves, and how much noise is left.

  python -m tests.benchmarks.rendering speed
  python -m tests.benchmarks.rendering mixing
  python -m tests.benchmarks.rendering noise
  python -m tests.benchmarks.rendering tasks

Seconds are those that one thread computes, whatever runs beside it; those of `tasks` are a clock's, on an
idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import drjit
import numpy as np

from charmnet.vocabulary import NUM_CONDITIONS, CaptureCondition
from pipelines.cluster import prepare_environment, start_here
from pipelines.rendering import mitsuba_renderer
from pipelines.rendering.assets import Assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.description import Scene
from pipelines.rendering.job import RenderTask, Settings, View, fit_scene, render
from pipelines.rendering.mitsuba_renderer import SAMPLES_PER_PIXEL, VARIANT, render_view
from pipelines.shards.entries import Rejection
from pipelines.shards.job import Destination
from pipelines.storage import Location
from tests.fixtures.separately_lit import render_separately

Rows = Iterator[tuple[str, ...]]

VIEWS = (View("field", "human", 2, 0), View("room", "human", 4, 0))
SIZES = ((256, 256), (512, 288))  # the larger one for the first view alone
SAMPLES = (8, 16)
NOISE_SIDE = 128  # pixels: coarser detail than at 256, so the denoiser has a harder task
REFERENCE_SAMPLES = 64
NOISY_CONDITIONS = (CaptureCondition.NOON_CLEAR, CaptureCondition.NIGHT)  # by every kind of source
VISIBLE = 4.0  # levels of 255 that neighbouring pixels of a smooth surface may differ by, unseen


def settings(width: int, height: int, samples: int = SAMPLES_PER_PIXEL) -> Settings:
    return Settings(width, height, samples, 95, Conditions.load(), Assets(), VARIANT)


def scene_of(view: View, asked: Settings) -> Scene:
    scene = fit_scene(view, asked)
    if isinstance(scene, Rejection):
        raise SystemExit(scene.reason)
    return scene


def seconds(work: Callable[[], object]) -> float:
    """Of this process's computing."""
    drjit.set_thread_count(1)
    started = time.process_time()
    work()
    return time.process_time() - started


def speed() -> Rows:
    """A whole task: scene, ten pictures, mask, files; the first one's start included in none."""
    yield "size", "view", "seconds", "images a minute"
    with tempfile.TemporaryDirectory() as folder:
        RenderTask(VIEWS[0], settings(32, 32, 1)).write(Location.of(folder), "first.parquet")
        for size, view in ((SIZES[0], VIEWS[0]), (SIZES[1], VIEWS[0]), (SIZES[0], VIEWS[1])):
            task = RenderTask(view, settings(*size))
            taken = seconds(lambda task=task: task.write(Location.of(folder), "view.parquet"))
            rate = 60 * NUM_CONDITIONS / taken
            yield ("{}x{}".format(*size), view.id, f"{taken:.1f}", f"{rate:.1f}")


def mixing() -> Rows:
    """Ten conditions mixed from sources, and each rendered by itself with as many samples."""
    yield "view", "mixed, seconds", "separate, seconds", "mean difference", "PSNR", "worst condition"
    for view in VIEWS:
        asked = settings(128, 72)
        scene, lightings = scene_of(view, asked), asked.conditions.draw(view.rng("light"))
        found: dict[str, np.ndarray] = {}

        def mix(scene=scene, lightings=lightings, found=found) -> None:
            found["mixed"] = np.stack(render_view(scene, lightings, 128, 72).images)

        def separate(scene=scene, lightings=lightings, found=found) -> None:
            found["separate"] = np.stack(render_separately(scene, lightings, 128, 72))

        taken = seconds(mix), seconds(separate)
        apart = found["mixed"].astype(float) - found["separate"]
        decibels = [psnr(one) for one in apart]
        yield (
            view.id,
            *(f"{value:.1f}" for value in taken),
            f"{np.abs(apart).mean():.2f}",
            f"{psnr(apart):.1f} dB",
            f"{min(decibels):.1f} dB",
        )


def noise() -> Rows:
    """Against many samples: all of the error, and what of it is grain."""
    yield "view", "samples", "denoised", "PSNR", "grain, levels", "pixels with visible grain"
    for view in VIEWS:
        reference = pictures(view, REFERENCE_SAMPLES, seed=1).astype(float)
        for samples in SAMPLES:
            for denoised in (True, False):
                apart = pictures(view, samples, seed=0, denoised=denoised) - reference
                grain = np.abs(grain_of(apart))
                yield (
                    view.id,
                    str(samples),
                    "yes" if denoised else "no",
                    f"{psnr(apart):.1f} dB",
                    f"{grain.mean():.2f}",
                    f"{(grain > VISIBLE).any(axis=-1).mean():.2%}",
                )


def pictures(view: View, samples: int, seed: int, denoised: bool = True) -> np.ndarray:
    """uint8 [conditions,H,W,3]."""
    asked = settings(NOISE_SIDE, NOISE_SIDE)
    drawn = asked.conditions.draw(view.rng("light"))
    lightings = {condition: drawn[condition] for condition in NOISY_CONDITIONS}
    clean = mitsuba_renderer.denoise if denoised else lambda light, *_: light
    with patch.object(mitsuba_renderer, "denoise", clean):
        made = render_view(scene_of(view, asked), lightings, NOISE_SIDE, NOISE_SIDE, samples, seed)
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
            destination = Destination(Location.of(Path(folder, "out")), {"command": "benchmark"})
            started = time.perf_counter()
            render(destination, views, settings(128, 72, 4), max_rejected=0)
            yield (str(count), f"{time.perf_counter() - started:.1f}")
        ray.shutdown()


def main() -> None:
    prepare_environment()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measures = {measure.__name__: measure for measure in (speed, mixing, noise, tasks)}
    parser.add_argument("what", choices=measures)
    for row in measures[parser.parse_args().what]():
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
