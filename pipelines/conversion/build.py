"""Making a data set, one task a shard, so that what is finished is never made again.

While it is made, the destination holds `_plan.json` (what was asked) and, for each finished shard, a part
`_parts/part-00042.json` (its manifest and rejections), written after the shard itself. The manifest is put
together from the parts at the end; its appearance makes the data set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from charmnet.errors import CharmNetError, DataError, StorageError
from charmnet.vocabulary import Domain
from pipelines.conversion.entries import LayoutEntry, read_entry
from pipelines.conversion.webdataset import index_archive, rows_of_archive
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import progress
from pipelines.runtime.randomness import hash_order
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import MANIFEST_NAME, Manifest, Stratum
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import RowKind
from pipelines.shards.tar import HashingReader
from pipelines.shards.writer import WrittenShard, write_parquet

REJECTED_NAME = "rejected.jsonl"
PLAN_NAME = "_plan.json"
PARTS_NAME = "_parts"
DEFAULT_SHARD_SAMPLES = 512


class Task(Protocol):
    """What makes one shard, on any machine."""

    def write(self, destination: Location, path: str) -> WrittenShard: ...


@dataclass(frozen=True)
class EntriesTask:
    """A shard of pictures that lie in files of their own."""

    source: Location
    kind: RowKind
    domain: Domain
    entries: tuple[LayoutEntry, ...]
    longest_side: int | None

    def write(self, destination: Location, path: str) -> WrittenShard:
        rows = read_ahead(lambda entry: read_entry(self.source, entry, self.longest_side), self.entries)
        return write_parquet(destination, path, self.kind, self.domain, rows)


@dataclass(frozen=True)
class ArchiveTask:
    """A shard made of one archive or, in place, the archive's own entry in the manifest."""

    source: Location
    archive: str
    defaults: Stratum
    longest_side: int | None
    in_place: bool

    def write(self, destination: Location, path: str) -> WrittenShard:
        if self.in_place:
            return index_archive(self.source, self.archive, self.defaults)
        with (self.source / self.archive).open("rb") as stream:
            found = rows_of_archive(HashingReader(stream), self.archive, self.defaults, self.longest_side)
            rows = (item if isinstance(item, Rejection) else item.row for item in found)
            return write_parquet(destination, path, RowKind.PAIR, self.defaults.domain, rows)


@dataclass(frozen=True)
class BuildPlan:
    """
    Attributes:
        tasks: in the order of the shards. rejected: what is unfit already by its list.
        items: how much was asked for (listed pictures); None if only the archives tell.
        title: what the progress bar says. remedy: what to do where too much was rejected, `plan_remedy` where
            that is known before anything is made.
    """

    tasks: Sequence[Task]
    rejected: Sequence[Rejection] = ()
    items: int | None = None
    title: str = "Sharding"
    remedy: str = "mend the files and run again with --retry-rejected"
    gpus_per_task: float = 0
    plan_remedy: str = "mend the lists and run again"


@dataclass(frozen=True)
class BuildResult:
    """A finished data set."""

    manifest: Manifest
    rejected: Sequence[Rejection]


def entries_in_shards(
    entries: Sequence[LayoutEntry], kind: RowKind, shard_samples: int
) -> list[tuple[LayoutEntry, ...]]:
    """Entries cut into shards: those of the same splits together, in an order that mixes neighbours."""
    size = max(1, shard_samples // (10 if kind is RowKind.SCENE else 1))
    by_splits: dict[tuple[str, ...], list[LayoutEntry]] = {}
    for entry in entries:
        by_splits.setdefault(entry.stratum.splits, []).append(entry)
    ordered = [group[index] for group in by_splits.values() for index in hash_order([e.id for e in group])]
    return [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]


class DatasetBuild:
    """The place of a data set that may be half made.

    Args:
        identity: what the data set is made of: only the same may go on here.
        among_files: other files may lie there (archives that are indexed in place).

    Raises:
        DataError: on construction, when it holds another data set or something else.
    """

    def __init__(self, location: Location, identity: dict[str, Any], among_files: bool = False) -> None:
        self.location = location
        self.identity = json.loads(json.dumps(identity))  # as it comes back from a file
        self.parts = location / PARTS_NAME  # goes away when the data set is finished
        self._plan = location / PLAN_NAME
        self._in_place = among_files
        if self.manifest() is not None:
            return
        if self._plan.exists():
            self._compare(self._plan.read_json(), "a half-made data set")
            return
        # A store may list folders that were emptied; lists that were refused leave only what was rejected.
        found = [] if among_files else [file for file in location.walk_files() if file != REJECTED_NAME]
        if found:
            names = ", ".join(found[:3])
            raise DataError(f"{location} holds {names} and no data set; expected an empty or new folder")

    def start(self) -> None:
        """Says what is being made here, and forgets what a plan that was taken away has left."""
        if not self._plan.exists():
            self.parts.delete()
            self._plan.write_json(self.identity)

    def manifest(self) -> Manifest | None:
        """The manifest where the data set is finished.

        Raises:
            DataError: it is another data set's.
        """
        if not (self.location / MANIFEST_NAME).exists():
            return None
        manifest = Manifest.load(self.location)
        self._compare(manifest.source, "another data set")
        return manifest

    def part(self, index: int) -> WrittenShard | None:
        """What a finished shard's task left, or None."""
        place = self._part_place(index)
        if not place.exists():
            return None
        value = place.read_json()
        rejected = [Rejection(**entry) for entry in value["rejected"]]
        return WrittenShard(Manifest.from_json(value["manifest"], str(place)), rejected)

    def write_part(self, index: int, task: Task) -> None:
        """Makes a shard, then the part that says it is finished."""
        written = task.write(self.location, f"part-{index:05d}.parquet")
        value = {
            "manifest": written.manifest.to_json(),
            "rejected": [asdict(rejection) for rejection in written.rejected],
        }
        self._part_place(index).write_json(value)

    def write_rejected(self, rejected: Sequence[Rejection]) -> None:
        path = self.location / REJECTED_NAME
        if rejected:
            path.write_jsonl({"id": r.id, "file": r.file, "reason": r.reason} for r in rejected)
        else:
            path.delete()

    def read_rejected(self) -> list[Rejection]:
        """What `write_rejected` wrote, each as one item."""
        path = self.location / REJECTED_NAME
        return [Rejection(**entry) for entry in path.read_jsonl()] if path.exists() else []

    def clean(self) -> None:
        """Removes what only an unfinished data set needs."""
        self.parts.delete()
        self._plan.delete()

    def _part_place(self, index: int) -> Location:
        return self.parts / f"part-{index:05d}.json"

    def _compare(self, found: Any, what: str) -> None:
        fields = {*self.identity, *(found if isinstance(found, dict) else ())}
        differing = [
            f"{name} ({found.get(name)!r} there, {self.identity.get(name)!r} asked)"
            for name in sorted(fields)
            if found.get(name) != self.identity.get(name)
        ]
        if differing:
            other = (
                f"delete {MANIFEST_NAME} and {PLAN_NAME} there" if self._in_place else "name another --dest"
            )
            raise DataError(
                f"{self.location} holds {what}, which differs in {'; '.join(differing)}; "
                f"expected the same request; to make another data set, {other}"
            )


def build_dataset(
    destination: DatasetBuild, plan: BuildPlan, max_rejected: float, retry_rejected: bool = False
) -> BuildResult:
    """Makes what is missing of a data set and finishes it.

    Args:
        max_rejected: the share of what was asked for that may be unfit.
        retry_rejected: make shards again that had rejections, since their files may have been mended.

    Raises:
        DataError: too much is unfit; shards and rejected.jsonl stay for another run.
        StorageError: the store does not answer; what is finished stays.
    """
    _check_planned(destination, plan, max_rejected)
    destination.start()
    numbers = range(len(plan.tasks))
    parts = dict(zip(numbers, read_ahead(destination.part, numbers), strict=True))
    missing = [i for i, part in parts.items() if part is None or (retry_rejected and part.rejected)]
    if missing:
        with progress(plan.title, total=len(numbers)) as advance:
            advance(len(numbers) - len(missing))
            for index in _run_tasks(destination, plan, missing):
                parts[index] = destination.part(index)
                advance(1)
    written = [part for part in parts.values() if part is not None]
    rejected = [*plan.rejected, *(rejection for part in written for rejection in part.rejected)]
    destination.write_rejected(rejected)
    rows = sum(part.manifest.rows for part in written)
    if not rows and not rejected:
        destination.clean()
        raise DataError(f"{len(plan.tasks)} archives and no sample in them; expected NAME.composite.jpg, ...")
    asked = rows + _lost(rejected) if plan.items is None else plan.items
    if rows == 0 or _lost(rejected) > max_rejected * asked:
        raise _too_many_rejected(destination, rejected, asked, max_rejected, plan.remedy)
    manifest = Manifest.merged([part.manifest for part in written], destination.identity)
    manifest.save(destination.location)
    destination.clean()
    return BuildResult(manifest, rejected)


def _run_tasks(destination: DatasetBuild, plan: BuildPlan, indices: Sequence[int]) -> Iterator[int]:
    """Runs tasks through Ray Data; yields the index of each that is finished, as it finishes."""
    jobs = [(destination, index, plan.tasks[index]) for index in indices]
    for index, error in map_on_cluster(_run_task, jobs, len(jobs), plan.gpus_per_task):
        if error:
            raise StorageError(f"{error}; run the same command again to go on")
        yield index


def _run_task(job: tuple[DatasetBuild, int, Task]) -> tuple[int, str]:
    """(index, what went wrong or nothing)."""
    destination, index, task = job
    try:
        destination.write_part(index, task)
    except CharmNetError as error:
        return index, str(error)
    return index, ""


def _check_planned(destination: DatasetBuild, plan: BuildPlan, max_rejected: float) -> None:
    """Lists that are unfit by themselves are refused before anything is made, so that they can be mended."""
    if not plan.tasks or (plan.items and _lost(plan.rejected) > max_rejected * plan.items):
        destination.write_rejected(plan.rejected)
        raise _too_many_rejected(destination, plan.rejected, plan.items or 0, max_rejected, plan.plan_remedy)


def _lost(rejected: Sequence[Rejection]) -> int:
    return sum(rejection.items for rejection in rejected)


def _too_many_rejected(
    destination: DatasetBuild, rejected: Sequence[Rejection], asked: int, max_rejected: float, remedy: str
) -> DataError:
    lost = _lost(rejected)
    examples = "".join(f"\n  {rejection.file}: {rejection.reason}" for rejection in rejected[:3])
    return DataError(
        f"{lost} of {asked} rejected ({lost / max(asked, 1):.2%}), --max-rejected allows "
        f"{max_rejected:.2%}; each stands in {destination.location / REJECTED_NAME}, such as:{examples}\n"
        f"{remedy}, or allow more with --max-rejected"
    )
