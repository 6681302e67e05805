"""Building of a data set of scenes in small pieces, which are gathered into shards of many at the end.

Each piece is kept beneath the destination's `_parts/`, so that a build that is stopped loses only the pieces
that were being made. Shards of many rows are read faster in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from charmnet.vocabulary import Domain
from pipelines.conversion.build import BuildPlan, BuildResult, DatasetBuild, build_dataset
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.shards.schema import RowKind
from pipelines.shards.writer import WrittenShard, write_parquet


@dataclass(frozen=True)
class GatherTask:
    """A task that gathers pieces of scenes into one shard."""

    pieces: Dataset

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the shard at `path` beneath the destination."""
        return write_parquet(destination, path, RowKind.SCENE, Domain.RENDERED, self._rows())

    def _rows(self) -> Iterator[Row]:
        groups = [(shard, group) for shard, group, _ in self.pieces.manifest.groups()]
        for table in read_ahead(lambda place: self.pieces.read_row_group(*place), groups):
            yield from table.to_pylist()


def build_in_pieces(
    destination: DatasetBuild,
    plan: BuildPlan,
    max_rejected: float,
    arrange: Callable[[Manifest], Iterable[Sequence[int]]],
    make: Callable[[DatasetBuild], None] | None = None,
) -> BuildResult:
    """Make the missing pieces of a data set of scenes, gather them into shards and complete it.

    Args:
        destination: the data set.
        plan: a task for each piece.
        max_rejected: share of the plan's items, in 0..1, that may be rejected.
        arrange: returns the pieces of each shard, by their numbers in the manifest of all pieces.
        make: makes missing pieces in place of the plan's tasks, of which those that are left run afterwards.

    Raises:
        DataError: too much was rejected.
        StorageError: the store cannot be reached; finished pieces stay.
    """
    destination.start()
    single = DatasetBuild(destination.parts / "scenes", destination.identity)
    if single.manifest() is None:
        single.start()
        if make is not None:
            make(single)
        build_dataset(single, plan, max_rejected)
    pieces = Dataset.open(single.location)
    tasks = [GatherTask(pieces.select_shards(numbers)) for numbers in arrange(pieces.manifest)]
    gathering = BuildPlan(tasks, single.read_rejected(), items=plan.items, title="Gathering")
    return build_dataset(destination, gathering, max_rejected=1.0)
