"""Composites of a whole folder of photographs, made on Ray.

After the foregrounds are measured (`measuring.py`), each task of a second pass makes a shard: of pairs, or of
photographs from which composites are made when they are read. For the released layout the shards lie in
`_parts/` and become files at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2

from charmnet.errors import CharmNetError
from charmnet.vocabulary import Domain
from pipelines.compositing.composer import Composer
from pipelines.compositing.foregrounds import SPLITS, Folders, MeasuredForeground
from pipelines.compositing.measuring import MeasuredColors, Request, measure_all, raise_if
from pipelines.compositing.photographs import PhotographsTask, rows_in_shards, write_colors
from pipelines.compositing.released_layout import ListedComposite, write_lists, write_pairs
from pipelines.conversion.build import BuildPlan, BuildResult, DatasetBuild, build_dataset
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import progress
from pipelines.runtime.randomness import hash_order
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row
from pipelines.shards.schema import RowKind
from pipelines.shards.writer import WrittenShard, write_parquet

_AT_ONCE = 2  # one foreground is fetched while another is composed


@dataclass(frozen=True)
class RealCompositesTask:
    """A shard of composites.

    Attributes:
        folders: photographs and masks.
        colors: file of the measured colours of all foregrounds.
        indices: foregrounds of this shard, by their position among all that are measured.
        per_mask: composites of each foreground at most.
        seed: seed of all draws.
        subset: subset of the rows.
    """

    folders: Folders
    colors: Location
    indices: tuple[int, ...]
    per_mask: int
    seed: int
    subset: str

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the shard at `path` beneath the destination."""
        cv2.setNumThreads(0)  # tasks are the parallelism
        measured = MeasuredColors.read(self.colors).measured
        composer = Composer(self.folders, measured, self.per_mask, self.seed, self.subset)
        foregrounds = [measured[index].foreground for index in self.indices]
        results = read_ahead(composer.rows, foregrounds, _AT_ONCE)
        return write_parquet(destination, path, RowKind.PAIR, Domain.REAL, _flattened(results))


def make_shards(
    destination: DatasetBuild, request: Request, max_rejected: float
) -> tuple[BuildResult, Sequence[str]]:
    """Make the missing shards of a data set of pairs and finish it.

    Returns:
        The data set, and warnings about masks that were used nevertheless.

    Raises:
        DataError: more masks than `max_rejected` allows give no composite; each is in rejected.jsonl.
        StorageError: the store cannot be reached; finished shards stay.
    """
    return _make(destination, destination, request, max_rejected)


def make_photographs(
    destination: DatasetBuild, request: Request, max_rejected: float
) -> tuple[BuildResult, Sequence[str]]:
    """Make a data set of photographs; returns and raises as `make_shards`."""
    return _make(destination, destination, request, max_rejected, photographs=True)


def make_released(
    destination: DatasetBuild, request: Request, max_rejected: float
) -> tuple[BuildResult, Sequence[str]]:
    """Make composites as files in iHarmony4's layout.

    `_plan.json` stays and says what they were made of. Returns and raises as `make_shards`.
    """
    shards = DatasetBuild(destination.parts / "shards", destination.identity)
    made, warnings = _make(destination, shards, request, max_rejected)
    dataset = Dataset(shards.location, made.manifest)
    jobs = [(dataset, index, destination.location) for index in range(len(made.manifest.shards))]
    listed: list[ListedComposite] = []
    with progress("Writing files", total=len(jobs)) as advance:
        for paths, error in map_on_cluster(_write_files, jobs):
            raise_if(error)
            listed += paths
            advance(1)
    destination.write_rejected(made.rejected)
    write_lists(destination.location, listed)
    destination.parts.delete()
    return made, warnings


def is_released(destination: DatasetBuild) -> bool:
    """Tell whether `make_released` has finished at the destination."""
    lists = (destination.location / f"{split}.txt" for split in SPLITS)
    return any(file.exists() for file in lists) and not destination.parts.walk_files()


def _make(
    destination: DatasetBuild,
    shards: DatasetBuild,
    request: Request,
    max_rejected: float,
    *,
    photographs: bool = False,
) -> tuple[BuildResult, Sequence[str]]:
    if not request.foregrounds or len(request.rejected) > max_rejected * request.items:
        remedy = "name masks after their photographs and run again"
        plan = BuildPlan((), request.rejected, request.items, plan_remedy=remedy)
        build_dataset(destination, plan, max_rejected)  # raises the error that names the rejected masks
    destination.start()
    colors_file = destination.parts / "colors.json"
    if not colors_file.exists():
        measure_all(destination, request).write(colors_file)
    colors = MeasuredColors.read(colors_file)
    rejected = [*request.rejected, *colors.rejected]
    plan = BuildPlan((), rejected, request.items, title="Composing", plan_remedy=BuildPlan.remedy)
    if photographs:
        tasks = [
            PhotographsTask(request.folders, colors_file, rows, request.seed, request.subset)
            for rows in rows_in_shards(colors.measured, request.shard_samples)
        ]
        complete = partial(write_colors, shards.location, measured=colors.measured, per_mask=request.per_mask)
        plan = replace(plan, tasks=tasks, complete=complete)
    else:
        plan = replace(plan, tasks=_pair_tasks(request, colors_file, colors.measured))
    return build_dataset(shards, plan, max_rejected), colors.warnings


def _pair_tasks(
    request: Request, colors: Location, measured: Sequence[MeasuredForeground]
) -> list[RealCompositesTask]:
    size = max(1, request.shard_samples // request.per_mask)
    return [
        RealCompositesTask(
            folders=request.folders,
            colors=colors,
            indices=indices,
            per_mask=request.per_mask,
            seed=request.seed,
            subset=request.subset,
        )
        for indices in _in_shards(measured, size)
    ]


def _write_files(job: tuple[Dataset, int, Location]) -> tuple[list[ListedComposite], str]:
    """Write a shard's composites as files; return the written composites, and the error's text or nothing."""
    dataset, shard, folder = job
    groups = range(len(dataset.manifest.shards[shard].row_groups))
    rows = (row for group in groups for row in dataset.read_row_group(shard, group).to_pylist())
    try:
        return write_pairs(folder, rows), ""
    except CharmNetError as error:
        return [], str(error)


def _in_shards(measured: Sequence[MeasuredForeground], size: int) -> Iterator[tuple[int, ...]]:
    """Yield the indices of each shard: one split's each, in an order that mixes neighbours."""
    for split in SPLITS:
        indices = [i for i, entry in enumerate(measured) if entry.foreground.split == split]
        mixed = [indices[i] for i in hash_order([measured[i].foreground.name for i in indices])]
        for start in range(0, len(mixed), size):
            yield tuple(mixed[start : start + size])


def _flattened(results: Iterator[list[Row] | Rejection]) -> Iterator[Row | Rejection]:
    for result in results:
        if isinstance(result, Rejection):
            yield result
        else:
            yield from result
