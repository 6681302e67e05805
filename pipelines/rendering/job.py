"""Tasks on Ray that render views of 3D scenes and gather them into shards.

Each rendered view is kept beneath the destination's `_parts/`, so that a run that is stopped loses only the
views that were being rendered. When all views are finished they are gathered into shards of many, which
training reads faster, and the single ones are removed.
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
)
from pipelines.conversion.gather import build_in_pieces
from pipelines.rendering import scenes
from pipelines.rendering.assets import Assets
from pipelines.rendering.conditions import Conditions
from pipelines.rendering.description import Scene
from pipelines.rendering.mitsuba_renderer import foreground_coverage, render_view
from pipelines.runtime.randomness import hash_order, seeded_rng
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, scene_row
from pipelines.shards.schema import RowKind
from pipelines.shards.stratum import Stratum
from pipelines.shards.writer import WrittenShard, write_parquet

COVERAGE = (0.01, 0.6)
ATTEMPTS = 12
GPUS_PER_TASK = 0.25  # building meshes and denoising run on the CPU; several views keep a GPU busy
SPLIT = "render"
SCENES_PER_SEED = 10_000
SCENES_PER_SHARD = DEFAULT_SHARD_SAMPLES // NUM_CONDITIONS


@dataclass(frozen=True)
class View:
    """A 2D scene: one viewpoint of a 3D scene with one foreground.

    Attributes:
        kind: kind of the 3D scene.
        category: category of the foreground.
        scene: number of the 3D scene, which determines its things together with its kind.
        view: number of the viewpoint.
    """

    kind: str
    category: str
    scene: int
    view: int

    @property
    def subset(self) -> str:
        """The subset's name, such as SHuman."""
        return f"S{self.category.capitalize()}"

    @property
    def id(self) -> str:
        """The sample's id, such as SHuman/street0003v02."""
        return f"{self.subset}/{self.kind}{self.scene:04d}v{self.view:02d}"

    def rng(self, purpose: str, *more: Any) -> np.random.Generator:
        """Return a generator for one purpose of this view, the same wherever the view is rendered."""
        return seeded_rng(purpose, self.kind, self.category, self.scene, self.view, *more)


@dataclass(frozen=True)
class RenderSettings:
    """Options that all views of a run share.

    Attributes:
        width: pixels.
        height: pixels.
        samples: light paths per pixel and source of light.
        quality: JPEG quality of the pictures.
        conditions: ranges of light.
        assets: meshes of the user.
        variant: variant of Mitsuba.
    """

    width: int
    height: int
    samples: int
    quality: int
    conditions: Conditions
    assets: Assets
    variant: str

    @property
    def gpus_per_task(self) -> float:
        """Share of a GPU that a task occupies; 0 for variants on CPUs."""
        return GPUS_PER_TASK if self.variant.startswith("cuda") else 0


@dataclass(frozen=True)
class RenderTask:
    """A task that renders one view under all conditions, as a shard of one row."""

    view: View
    settings: RenderSettings

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Render the view and write its shard at `path` beneath the destination."""
        drjit.set_thread_count(1)  # other tasks render on the other cores
        return write_parquet(destination, path, RowKind.SCENE, Domain.RENDERED, [self._row()])

    def _row(self) -> Row | Rejection:
        view, settings = self.view, self.settings
        scene = fit_scene(view, settings)
        if isinstance(scene, Rejection):
            return scene
        lightings = settings.conditions.draw(view.rng("light"))
        seed = int(view.rng("samples").integers(2**31))
        rendered = render_view(
            scene,
            lightings,
            settings.width,
            settings.height,
            samples_per_pixel=settings.samples,
            seed=seed,
            variant=settings.variant,
        )
        pictures = {
            f"images[{condition}]": encode_jpeg(image, settings.quality)
            for condition, image in enumerate(rendered.images)
        }
        pictures["foreground_mask"] = encode_mask(rendered.foreground_mask)
        return scene_row(view.id, Stratum(Domain.RENDERED, view.subset, view.category, (SPLIT,)), pictures)


def views_of(
    categories: dict[str, tuple[str, ...]], scenes_per_category: int, views_per_scene: int, seed: int
) -> list[View]:
    """List every view of a run; consecutive 3D scenes of a category have different kinds.

    Args:
        categories: kinds of scene for each category.
        scenes_per_category: 3D scenes for each category.
        views_per_scene: viewpoints of each 3D scene.
        seed: number of the run; other numbers give other scenes.
    """
    first = seed * SCENES_PER_SEED
    return [
        View(kinds[number % len(kinds)], category, first + number, view)
        for category, kinds in categories.items()
        for number in range(scenes_per_category)
        for view in range(views_per_scene)
    ]


def fit_scene(view: View, settings: RenderSettings) -> Scene | Rejection:
    """Draw a view until its foreground is neither too small nor too large, at most `ATTEMPTS` times."""
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
    return Rejection(
        view.id, view.id, f"foreground: none of {ATTEMPTS} draws was accepted; the last one: {reason}"
    )


def render(
    destination: DatasetBuild, views: list[View], settings: RenderSettings, max_rejected: float
) -> BuildResult:
    """Make the missing shards of a data set of scenes and finish it.

    Raises:
        DataError: the share of views without an accepted foreground exceeds `max_rejected`.
        StorageError: the store cannot be reached; finished views stay.
    """
    return build_in_pieces(destination, rendering_plan(views, settings), max_rejected, _shards)


def rendering_plan(views: list[View], settings: RenderSettings) -> BuildPlan:
    """Return the work of rendering views."""
    tasks = [RenderTask(view, settings) for view in views]
    return BuildPlan(
        tasks,
        items=len(tasks),
        title="Rendering",
        remedy="ask for another --seed or other --kinds",
        gpus_per_task=settings.gpus_per_task,
    )


def _shards(rendered: Manifest) -> Iterator[list[int]]:
    """Yield the views of each shard, in an order that mixes them."""
    order = list(hash_order([shard.path for shard in rendered.shards]))
    for start in range(0, len(order), SCENES_PER_SHARD):
        yield order[start : start + SCENES_PER_SHARD]
