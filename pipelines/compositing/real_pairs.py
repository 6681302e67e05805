"""Composites of a whole folder of photographs, on Ray: first every foreground's colours, then the composites.

What is measured lies in the destination's `_parts/`, a file for each task and one of all, so that a run that
was interrupted goes on; composites come as pair shards, each a task. For the released layout shards are made
in `_parts/` too and written out as files at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from charmnet.errors import CharmNetError, StorageError
from charmnet.recoloring import ColorStatistics
from charmnet.vocabulary import Domain
from pipelines.compositing.composer import Composer
from pipelines.compositing.foregrounds import SPLITS, Folders, Foreground, Measured, measure
from pipelines.compositing.released_layout import Listed, write_lists, write_pairs
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

FOREGROUNDS_PER_MEASUREMENT = 128
_AT_ONCE = 2  # one is fetched while another is worked on


@dataclass(frozen=True)
class Request:
    """
    Attributes:
        foregrounds, rejected: as `foregrounds.find` gives them.
        per_mask: composites of each foreground at most. subset: of the rows.
        shard_samples: composites in a shard, about.
    """

    folders: Folders
    foregrounds: Sequence[Foreground]
    rejected: Sequence[Rejection]
    per_mask: int
    seed: int
    subset: str
    shard_samples: int

    @property
    def items(self) -> int:
        return len(self.foregrounds) + len(self.rejected)


@dataclass(frozen=True)
class Colors:
    """What is known of all foregrounds once they are measured."""

    measured: list[Measured]
    rejected: list[Rejection]
    warnings: list[str]

    @classmethod
    def read(cls, place: Location) -> Colors:
        value = place.read_json()
        measured = [
            Measured(
                Foreground(**entry["foreground"]),
                ColorStatistics(**{name: np.array(numbers) for name, numbers in entry["statistics"].items()}),
            )
            for entry in value["measured"]
        ]
        return cls(measured, [Rejection(**entry) for entry in value["rejected"]], value["warnings"])

    def write(self, place: Location) -> None:
        place.write_json({**asdict(self), "measured": [_to_json(entry) for entry in self.measured]})


@dataclass(frozen=True)
class CompositesTask:
    """A shard of composites of some foregrounds (indices into all that are measured)."""

    folders: Folders
    colors: Location
    indices: tuple[int, ...]
    per_mask: int
    seed: int
    subset: str

    def write(self, destination: Location, path: str) -> WrittenShard:
        cv2.setNumThreads(0)  # tasks are the parallelism
        measured = Colors.read(self.colors).measured
        composer = Composer(self.folders, measured, self.per_mask, self.seed, self.subset)
        foregrounds = [measured[index].foreground for index in self.indices]
        found = read_ahead(composer.rows, foregrounds, _AT_ONCE)
        return write_parquet(destination, path, RowKind.PAIR, Domain.REAL, _each(found))


def make_shards(
    destination: DatasetBuild, request: Request, max_rejected: float
) -> tuple[BuildResult, Sequence[str]]:
    """Makes what is missing of a data set of pair shards.

    Returns:
        The data set, and what is odd about some masks though they were taken.

    Raises:
        DataError: more masks than `max_rejected` allows give no composite; each is in rejected.jsonl.
        StorageError: the store does not answer; what is finished stays.
    """
    return _make(destination, destination, request, max_rejected)


def make_released(
    destination: DatasetBuild, request: Request, max_rejected: float
) -> tuple[BuildResult, Sequence[str]]:
    """The same as files in iHarmony4's layout; `_plan.json` stays and says what they were made of."""
    shards = DatasetBuild(destination.parts / "shards", destination.identity)
    made, warnings = _make(destination, shards, request, max_rejected)
    dataset = Dataset(shards.location, made.manifest)
    jobs = [(dataset, index, destination.location) for index in range(len(made.manifest.shards))]
    listed: list[Listed] = []
    with progress("Writing files", total=len(jobs)) as advance:
        for paths, error in map_on_cluster(_write_files, jobs, most_blocks=len(jobs)):
            _raise_if(error)
            listed += paths
            advance(1)
    destination.write_rejected(made.rejected)
    write_lists(destination.location, listed)
    destination.parts.delete()
    return made, warnings


def is_released(destination: DatasetBuild) -> bool:
    """Whether `make_released` has finished there."""
    lists = (destination.location / f"{split}.txt" for split in SPLITS)
    return any(place.exists() for place in lists) and not destination.parts.walk_files()


def _make(
    destination: DatasetBuild, shards: DatasetBuild, request: Request, max_rejected: float
) -> tuple[BuildResult, Sequence[str]]:
    if not request.foregrounds or len(request.rejected) > max_rejected * request.items:
        remedy = "name masks after their photographs and run again"
        build_dataset(
            destination, BuildPlan((), request.rejected, request.items, plan_remedy=remedy), max_rejected
        )
    destination.start()
    place = destination.parts / "colors.json"
    if not place.exists():
        _measure_all(destination, request).write(place)
    colors = Colors.read(place)
    size = max(1, request.shard_samples // request.per_mask)
    tasks = [
        CompositesTask(request.folders, place, indices, request.per_mask, request.seed, request.subset)
        for indices in _in_shards(colors.measured, size)
    ]
    rejected = [*request.rejected, *colors.rejected]
    remedy = BuildPlan.remedy
    plan = BuildPlan(tasks, rejected, request.items, "Composing", remedy, plan_remedy=remedy)
    return build_dataset(shards, plan, max_rejected), colors.warnings


def _measure_all(destination: DatasetBuild, request: Request) -> Colors:
    """Every foreground's colours, in the order of the request."""
    step = FOREGROUNDS_PER_MEASUREMENT
    cuts = range(0, len(request.foregrounds), step)
    parts = [destination.parts / f"colors-{start:07d}.json" for start in cuts]
    there = read_ahead(Location.exists, parts)
    jobs = [
        (request.folders, request.foregrounds[start : start + step], part)
        for start, part, exists in zip(cuts, parts, there, strict=True)
        if not exists
    ]
    with progress("Measuring colours", total=len(parts)) as advance:
        advance(len(parts) - len(jobs))
        for error in map_on_cluster(_measure, jobs, most_blocks=len(jobs)) if jobs else ():
            _raise_if(error)
            advance(1)
    found = list(read_ahead(Colors.read, parts))
    return Colors(
        [entry for colors in found for entry in colors.measured],
        [entry for colors in found for entry in colors.rejected],
        [entry for colors in found for entry in colors.warnings],
    )


def _measure(job: tuple[Folders, Sequence[Foreground], Location]) -> str:
    """What went wrong, or nothing."""
    folders, foregrounds, place = job
    cv2.setNumThreads(0)
    try:
        Colors(*measure(folders, foregrounds)).write(place)
    except CharmNetError as error:
        return str(error)
    return ""


def _write_files(job: tuple[Dataset, int, Location]) -> tuple[list[Listed], str]:
    """(what was written, what went wrong or nothing)."""
    dataset, shard, folder = job
    groups = range(len(dataset.manifest.shards[shard].row_groups))
    rows = (row for group in groups for row in dataset.read_row_group(shard, group).to_pylist())
    try:
        return write_pairs(folder, rows), ""
    except CharmNetError as error:
        return [], str(error)


def _raise_if(error: str) -> None:
    if error:
        raise StorageError(f"{error}; run the same command again to go on")


def _in_shards(measured: Sequence[Measured], size: int) -> Iterator[tuple[int, ...]]:
    """Indices cut into shards: a split's together, in an order that mixes neighbours."""
    for split in SPLITS:
        own = [i for i, entry in enumerate(measured) if entry.foreground.split == split]
        mixed = [own[i] for i in hash_order([measured[i].foreground.name for i in own])]
        for start in range(0, len(mixed), size):
            yield tuple(mixed[start : start + size])


def _each(found: Iterator[list[Row] | Rejection]) -> Iterator[Row | Rejection]:
    for rows in found:
        if isinstance(rows, Rejection):
            yield rows
        else:
            yield from rows


def _to_json(entry: Measured) -> dict[str, Any]:
    statistics = {name: numbers.tolist() for name, numbers in vars(entry.statistics).items()}
    return {"foreground": asdict(entry.foreground), "statistics": statistics}
