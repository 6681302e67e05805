"""Composites of a whole folder of photographs, made on Ray.

After the foregrounds are measured (`measuring.py`), each task of a second pass makes a shard: of pairs, or of
photographs from which composites are made when they are read. For the released layout the shards lie in
`_parts/` and become files at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import cv2

from charmnet.errors import CharmNetError, DataError
from charmnet.vocabulary import Domain
from pipelines.compositing.composer import Composer
from pipelines.compositing.foregrounds import SPLITS, MeasuredForeground
from pipelines.compositing.measuring import MeasuredColors, MeasuredSource, Request, measure_all
from pipelines.compositing.photographs import PhotographsTask, photograph_id, rows_in_shards, write_colors
from pipelines.compositing.released_layout import ListedComposite, write_lists, write_pairs
from pipelines.conversion.build import REJECTED_NAME, BuildPlan, BuildResult, DatasetBuild, build_dataset
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import progress
from pipelines.runtime.recorded import raise_if
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import with_remedy
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
        source: the measured foregrounds.
        indices: foregrounds of this shard, by their position among all that are measured.
        per_mask: composites of each foreground at most.
    """

    source: MeasuredSource
    indices: tuple[int, ...]
    per_mask: int

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the shard at `path` beneath the destination."""
        cv2.setNumThreads(0)  # tasks are the parallelism
        source, measured = self.source, self.source.measured()
        composer = Composer(source.folders, measured, self.per_mask, source.seed, source.subset)
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
        for paths, error in map_on_cluster(_write_files, jobs, small=request.is_small):
            raise_if(error)
            listed += paths
            advance(1)
    destination.write_rejected(made.rejected)
    write_lists(destination.location, listed)
    destination.parts.discard()
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
    try:
        request.check_names(max_rejected, destination.location / REJECTED_NAME)
    except DataError:
        destination.write_rejected(request.rejected)
        raise
    destination.start()
    colors_file = destination.parts / "colors.json"
    if not colors_file.exists():
        measure_all(destination, request).write(colors_file)
    colors = MeasuredColors.read(colors_file)
    rejected = [*request.rejected, *colors.rejected]
    plan = BuildPlan(
        (),
        rejected,
        request.items,
        title="Composing",
        small=request.is_small,
        plan_remedy=BuildPlan.remedy,
    )
    source = MeasuredSource(request.folders, colors_file, request.seed, request.subset)
    if photographs:
        shards_of_rows = rows_in_shards(colors.measured, request.shard_samples, partial(photograph_id, ""))
        complete = partial(write_colors, shards.location, measured=colors.measured, per_mask=request.per_mask)
        plan = replace(
            plan, tasks=[PhotographsTask(source, rows) for rows in shards_of_rows], complete=complete
        )
    else:
        plan = replace(plan, tasks=_pair_tasks(request, source, colors.measured))
    return build_dataset(shards, plan, max_rejected), colors.warnings


def _pair_tasks(
    request: Request, source: MeasuredSource, measured: Sequence[MeasuredForeground]
) -> list[RealCompositesTask]:
    size = max(1, request.shard_samples // request.per_mask)
    shards = rows_in_shards(measured, size, lambda entry: entry.foreground.name)  # a row for each foreground
    return [RealCompositesTask(source, tuple(chain.from_iterable(rows)), request.per_mask) for rows in shards]


def _write_files(job: tuple[Dataset, int, Location]) -> tuple[list[ListedComposite], str]:
    """Write a shard's composites as files; return the written composites, and the error's text or nothing."""
    dataset, shard, folder = job
    groups = range(len(dataset.manifest.shards[shard].row_groups))
    rows = (row for group in groups for row in dataset.read_row_group(shard, group).to_pylist())
    try:
        return write_pairs(folder, rows), ""
    except CharmNetError as error:
        return [], with_remedy(error)


def _flattened(results: Iterator[list[Row] | Rejection]) -> Iterator[Row | Rejection]:
    for result in results:
        if isinstance(result, Rejection):
            yield result
        else:
            yield from result
