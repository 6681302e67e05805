"""Views of 3D scenes as tasks on Ray: each is rendered once, whatever interrupts, and gathered into shards.

Rendered views are kept one by one beneath the destination's `_parts/`, so that a run that is stopped loses
those alone that were being rendered. When all are there they are gathered into shards of many, which is what
training reads well, and the single ones go away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import drjit
import numpy as np

from charmnet.codecs import encode_jpeg, encode_mask
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.conversion.build import (
    DEFAULT_SHARD_SAMPLES,
    BuildPlan,
    BuildResult,
    DatasetBuild,
    build_dataset,
)
from pipelines.rendering import scenes
from pipelines.rendering.assets import Assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.description import Scene
from pipelines.rendering.mitsuba_renderer import foreground_coverage, render_view
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.randomness import hash_order, seeded_rng
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Stratum
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, scene_row
from pipelines.shards.schema import RowKind
from pipelines.shards.writer import WrittenShard, write_parquet

COVERAGE = (0.01, 0.6)
ATTEMPTS = 12
GPUS_OF_A_TASK = 0.25  # cutting meshes and denoising are the CPU's work; several views keep a GPU busy
SPLIT = "render"
SCENES_OF_A_SEED = 10_000
SCENES_OF_A_SHARD = DEFAULT_SHARD_SAMPLES // NUM_CONDITIONS


@dataclass(frozen=True)
class View:
    """A 2D scene: one viewpoint of a 3D scene with one foreground.

    Attributes:
        scene: number of the 3D scene, which with its kind says what it is made of.
    """

    kind: str
    category: str
    scene: int
    view: int

    @property
    def subset(self) -> str:
        return f"S{self.category.capitalize()}"

    @property
    def id(self) -> str:
        return f"{self.subset}/{self.kind}{self.scene:04d}v{self.view:02d}"

    def rng(self, what: str, *more: Any) -> np.random.Generator:
        """A generator for something of this view, the same wherever the view is rendered."""
        return seeded_rng(what, self.kind, self.category, self.scene, self.view, *more)


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        width, height: pixels. samples: per pixel and source of light. quality: of the JPEG files.
        variant: of Mitsuba.
    """

    width: int
    height: int
    samples: int
    quality: int
    conditions: Conditions
    assets: Assets
    variant: str

    @property
    def gpus_of_a_task(self) -> float:
        return GPUS_OF_A_TASK if self.variant.startswith("cuda") else 0


@dataclass(frozen=True)
class RenderTask:
    """One view under all conditions, as a shard of one row."""

    view: View
    settings: Settings

    def write(self, destination: Location, path: str) -> WrittenShard:
        drjit.set_thread_count(1)  # others render on the other cores
        return write_parquet(destination, path, RowKind.SCENE, Domain.RENDERED, [self._row()])

    def _row(self) -> Row | Rejection:
        view, settings = self.view, self.settings
        scene = fit_scene(view, settings)
        if isinstance(scene, Rejection):
            return scene
        lightings = settings.conditions.draw(view.rng("light"))
        seed = int(view.rng("samples").integers(2**31))
        rendered = render_view(
            scene, lightings, settings.width, settings.height, settings.samples, seed, settings.variant
        )
        pictures = {
            f"images[{condition}]": encode_jpeg(image, settings.quality)
            for condition, image in enumerate(rendered.images)
        }
        pictures["foreground_mask"] = encode_mask(rendered.foreground_mask)
        return scene_row(view.id, Stratum(Domain.RENDERED, view.subset, view.category, (SPLIT,)), pictures)


@dataclass(frozen=True)
class GatherTask:
    """One shard of many views from shards of one."""

    rendered: Dataset

    def write(self, destination: Location, path: str) -> WrittenShard:
        return write_parquet(destination, path, RowKind.SCENE, Domain.RENDERED, self._rows())

    def _rows(self) -> Iterator[Row]:
        shards = range(len(self.rendered.manifest.shards))
        for table in read_ahead(lambda shard: self.rendered.read_row_group(shard, 0), shards):
            yield from table.to_pylist()


def views_of(
    categories: dict[str, tuple[str, ...]], scenes_of_each: int, views_of_each: int, seed: int
) -> list[View]:
    """Every view that is asked for; the 3D scenes' kinds take turns.

    Args:
        categories: the kinds that suit each.
    """
    first = seed * SCENES_OF_A_SEED
    return [
        View(kinds[number % len(kinds)], category, first + number, view)
        for category, kinds in categories.items()
        for number in range(scenes_of_each)
        for view in range(views_of_each)
    ]


def fit_scene(view: View, settings: Settings) -> Scene | Rejection:
    """The view as it is first drawn with a foreground neither too small nor too large."""
    reason = ""
    for attempt in range(ATTEMPTS):
        foreground = settings.assets.foreground(view.category, view.rng("asset", attempt))
        try:
            scene = scenes.describe(view.kind, view.category, view.scene, view.view, attempt, foreground)
        except scenes.NoViewError as error:
            reason = str(error)
            continue
        coverage = foreground_coverage(scene, settings.width, settings.height, settings.variant)
        if COVERAGE[0] <= coverage <= COVERAGE[1]:
            return scene
        reason = f"its foreground covers {coverage:.1%}, expected {COVERAGE[0]:.0%} to {COVERAGE[1]:.0%}"
    return Rejection(view.id, view.id, f"foreground: drawn {ATTEMPTS} times, at last: {reason}")


def render(
    destination: DatasetBuild, views: list[View], settings: Settings, max_rejected: float
) -> BuildResult:
    """Makes what is missing of a data set of scenes and finishes it.

    Raises:
        DataError: too many views found no fit foreground. StorageError: the store does not answer.
    """
    destination.start()
    single = DatasetBuild(destination.parts / "scenes", destination.identity)
    if single.manifest() is None:
        tasks = [RenderTask(view, settings) for view in views]
        remedy = "ask for another --seed or other --kinds"
        plan = BuildPlan(tasks, (), len(tasks), "Rendering", remedy, settings.gpus_of_a_task)
        build_dataset(single, plan, max_rejected)
    rendered = Dataset.open(single.location)
    order = list(hash_order([shard.path for shard in rendered.manifest.shards]))
    runs = [order[start : start + SCENES_OF_A_SHARD] for start in range(0, len(order), SCENES_OF_A_SHARD)]
    gather = [GatherTask(rendered.select_shards(run)) for run in runs]
    return build_dataset(
        destination, BuildPlan(gather, single.read_rejected(), len(views), "Gathering"), max_rejected=1.0
    )
