"""Building of a data set, one task for each shard, which can be interrupted and continued.

During a build the data set's folder holds `_plan.json` (the request) and, for each finished shard, a part
`_parts/part-00042.json` (its manifest and rejections), written after the shard itself. At the end the parts
are merged into the manifest; the data set is complete once the manifest exists.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from charmnet.errors import CharmNetError, DataError, StorageError
from charmnet.vocabulary import Domain
from pipelines.conversion.entries import LayoutEntry, read_entry
from pipelines.conversion.webdataset import explain_scattered, index_archive, rows_of_archive
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.runtime.console import progress
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import with_remedy
from pipelines.runtime.user_files import is_litter
from pipelines.shards.manifest import MANIFEST_NAME, Manifest
from pipelines.shards.rejection import Rejection, count_items, too_many_rejected
from pipelines.shards.schema import RowKind
from pipelines.shards.stratum import Stratum
from pipelines.shards.tar import HashingReader
from pipelines.shards.writer import WrittenShard, write_parquet

REJECTED_NAME = "rejected.jsonl"
PLAN_NAME = "_plan.json"
PARTS_NAME = "_parts"
DEFAULT_SHARD_SAMPLES = 512


class Task(Protocol):
    """A task that writes one shard; it can be pickled and run on any node."""

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the shard `path` in the folder `destination`."""


@dataclass(frozen=True)
class EntriesTask:
    """A task for a shard of pictures that are separate files.

    Attributes:
        source: the folder of the files.
        kind: kind of the rows.
        domain: domain of the rows.
        entries: the entries of the shard.
        longest_side: limit for the longer side of the pictures in pixels; None for no limit.
        keep_masks: leave the masks' files as they are.
    """

    source: Location
    kind: RowKind
    domain: Domain
    entries: tuple[LayoutEntry, ...]
    longest_side: int | None
    keep_masks: bool = False

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the entries as a shard at a path of the destination."""
        remarks: list[str] = []
        rows = read_ahead(
            lambda entry: read_entry(self.source, entry, self.longest_side, self.keep_masks, remarks),
            self.entries,
        )
        written = write_parquet(destination, path, self.kind, self.domain, rows)
        return replace(written, remarks=Counter(remarks))


@dataclass(frozen=True)
class ArchiveTask:
    """A task for the shard of one archive: converted to parquet, or the archive itself.

    Attributes:
        source: the folder of the archives.
        archive: path of the archive beneath the source.
        defaults: values for what a sample's JSON does not give.
        longest_side: limit for the longer side of the pictures in pixels; None for no limit.
        in_place: index the archive where it is and write no shard.
    """

    source: Location
    archive: str
    defaults: Stratum
    longest_side: int | None
    in_place: bool

    def write(self, destination: Location, path: str) -> WrittenShard:
        """Write the archive as a shard at a path of the destination, or index it where it lies."""
        if self.in_place:
            return index_archive(self.source, self.archive, self.defaults)
        remarks: list[str] = []
        with (self.source / self.archive).open("rb") as stream:
            reader = HashingReader(stream)
            items = rows_of_archive(reader, self.archive, self.defaults, self.longest_side, remarks)
            rows = (item if isinstance(item, Rejection) else item.row for item in items)
            written = write_parquet(destination, path, RowKind.PAIR, self.defaults.domain, rows)
        rejected = explain_scattered(written.rejected)
        return replace(written, rejected=rejected, remarks=Counter(remarks))


@dataclass(frozen=True)
class BuildPlan:
    """The work of building a data set.

    Attributes:
        tasks: one task for each shard, in the order of the shards.
        rejected: items that are rejected before any task runs.
        items: number of requested items (listed pictures); None if only the archives give it.
        title: title of the progress bar.
        remedy: advice in the error message if the tasks rejected too much.
        gpus_per_task: GPUs that a task uses; a fraction shares one.
        small: whether the tasks need no cluster (see `map_on_cluster`).
        plan_remedy: advice in the error message if too much is rejected before any task runs.
        complete: called with the manifest of all shards before it is saved; returns the one to save.
    """

    tasks: Sequence[Task]
    rejected: Sequence[Rejection] = ()
    items: int | None = None
    title: str = "Sharding"
    remedy: str = "correct the files and run again with --retry-rejected"
    gpus_per_task: float = 0
    small: bool = False
    plan_remedy: str = "correct the lists and run again"
    complete: Callable[[Manifest], Manifest] = lambda manifest: manifest

    def rejects_too_much(self, max_rejected: float) -> bool:
        """Return whether nothing is left to do, or more than a share is lost, before any task runs."""
        lost = count_items(self.rejected)
        return not self.tasks or bool(self.items and lost > max_rejected * self.items)


@dataclass(frozen=True)
class BuildResult:
    """A complete data set, what was left out of it, and how many of its pictures lost what."""

    manifest: Manifest
    rejected: Sequence[Rejection]
    remarks: Counter[str] = field(default_factory=Counter)


class DatasetBuild:
    """The folder of a data set that may be incomplete.

    Args:
        location: the folder.
        identity: the request. A build continues only if the folder's request is the same.
        among_files: whether the folder may hold other files (archives that are indexed in place).

    Attributes:
        location: the folder.
        identity: the request, as JSON values.
        parts: the folder of what is kept until the data set is complete.

    Raises:
        DataError: on construction, if the folder holds another data set or other files.
    """

    def __init__(self, location: Location, identity: dict[str, Any], among_files: bool = False) -> None:
        self.location = location
        self.identity = json.loads(json.dumps(identity))  # as read back from a file
        self.parts = location / PARTS_NAME
        self._plan = location / PLAN_NAME
        self._in_place = among_files
        if self.manifest() is not None:
            return
        if self._plan.exists():
            self._compare(self._plan.read_json(), "an unfinished data set")
            return
        # Refused lists leave only rejected.jsonl. Folders do not count: a store may list empty ones.
        found = [] if among_files else location.walk_files()
        others = [file for file in found if file != REJECTED_NAME and not is_litter(file)]
        if others:
            names = ", ".join(others[:3])
            raise DataError(f"{location} holds {names} and no data set; expected an empty or new folder")

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds an unfinished data set of this request."""
        return self._plan.exists()

    def start(self) -> None:
        """Record the request in the folder; delete parts that a build without a recorded request left."""
        if not self._plan.exists():
            self.parts.delete()
            self._plan.write_json(self.identity)

    def manifest(self) -> Manifest | None:
        """Return the manifest if the data set is complete, else None.

        Raises:
            DataError: the manifest is that of another data set.
        """
        if not (self.location / MANIFEST_NAME).exists():
            return None
        manifest = Manifest.load(self.location)
        self._compare(manifest.source, "another data set")
        return manifest

    def part(self, index: int) -> WrittenShard | None:
        """Return the result of a finished shard, or None if it is not finished."""
        location = self._part_location(index)
        if not location.exists():
            return None
        value = location.read_json()
        rejected = [Rejection(**entry) for entry in value["rejected"]]
        manifest = Manifest.from_json(value["manifest"], str(location))
        return WrittenShard(manifest, rejected, Counter(value.get("remarks", {})))

    def write_part(self, index: int, task: Task) -> None:
        """Write a shard, then the part that marks it as finished."""
        written = task.write(self.location, f"part-{index:05d}.parquet")
        value = {
            "manifest": written.manifest.to_json(),
            "rejected": [asdict(rejection) for rejection in written.rejected],
            "remarks": dict(written.remarks),
        }
        self._part_location(index).write_json(value)

    def write_rejected(self, rejected: Sequence[Rejection]) -> None:
        """Write rejected.jsonl, or delete it if nothing was rejected."""
        path = self.location / REJECTED_NAME
        if rejected:
            path.write_jsonl({"id": r.id, "file": r.file, "reason": r.reason} for r in rejected)
        else:
            path.delete()

    def read_rejected(self) -> list[Rejection]:
        """Read rejected.jsonl; every rejection counts as one item."""
        path = self.location / REJECTED_NAME
        return [Rejection(**entry) for entry in path.read_jsonl()] if path.exists() else []

    def clean(self) -> None:
        """Remove what only an incomplete data set needs."""
        self.parts.discard()
        self._plan.discard()

    def _part_location(self, index: int) -> Location:
        return self.parts / f"part-{index:05d}.json"

    def _compare(self, recorded: dict[str, Any], holds: str) -> None:
        """Refuse the folder if its recorded request is not this one."""
        differing = [
            f"{name} ({recorded.get(name)!r} there, {self.identity.get(name)!r} asked)"
            for name in sorted({*self.identity, *recorded})
            if recorded.get(name) != self.identity.get(name)
        ]
        if differing:
            remedy = (
                f"delete {MANIFEST_NAME} and {PLAN_NAME} there" if self._in_place else "name another --dest"
            )
            raise DataError(
                f"{self.location} holds {holds}, which differs in {'; '.join(differing)}; "
                f"expected the same request; to make another data set, {remedy}"
            )


def build_dataset(
    build: DatasetBuild, plan: BuildPlan, max_rejected: float, retry_rejected: bool = False
) -> BuildResult:
    """Build the missing shards of a data set and complete it.

    Args:
        max_rejected: the share of the requested items, in 0..1, that may be rejected.
        retry_rejected: whether to build shards with rejections again (their files may have been repaired).

    Raises:
        DataError: too much was rejected; shards and rejected.jsonl stay for another run.
        StorageError: the store does not answer; finished shards stay.
    """
    _check_planned(build, plan, max_rejected)
    build.start()
    numbers = range(len(plan.tasks))
    parts = dict(zip(numbers, read_ahead(build.part, numbers), strict=True))
    missing = [i for i, part in parts.items() if part is None or (retry_rejected and part.rejected)]
    if missing:
        with progress(plan.title, total=len(numbers)) as advance:
            advance(len(numbers) - len(missing))
            for index in _run_tasks(build, plan, missing):
                parts[index] = build.part(index)
                advance(1)
    shards = [part for part in parts.values() if part is not None]
    rejected = [*plan.rejected, *(rejection for shard in shards for rejection in shard.rejected)]
    build.write_rejected(rejected)
    rows = sum(shard.manifest.rows for shard in shards)
    if not rows and not rejected:
        build.clean()
        raise DataError(f"{len(plan.tasks)} archives without samples; expected NAME.composite.jpg, ...")
    requested = rows + count_items(rejected) if plan.items is None else plan.items
    if rows == 0 or count_items(rejected) > max_rejected * requested:
        record = build.location / REJECTED_NAME
        raise too_many_rejected(rejected, requested, max_rejected, plan.remedy, record)
    manifest = plan.complete(Manifest.merged([shard.manifest for shard in shards], build.identity))
    manifest.save(build.location)
    build.clean()
    return BuildResult(manifest, rejected, sum((shard.remarks for shard in shards), Counter()))


def _run_tasks(build: DatasetBuild, plan: BuildPlan, indices: Sequence[int]) -> Iterator[int]:
    """Run tasks on the cluster; yield the index of each when it and those before it have ended."""
    jobs = [(build, index, plan.tasks[index]) for index in indices]
    for index, error in map_on_cluster(_run_task, jobs, gpus_per_task=plan.gpus_per_task, small=plan.small):
        if error:
            raise StorageError(error)
        yield index


def _run_task(job: tuple[DatasetBuild, int, Task]) -> tuple[int, str]:
    """Run one task; return its index and the error message, or an empty one."""
    build, index, task = job
    try:
        build.write_part(index, task)
    except CharmNetError as error:
        return index, with_remedy(error)
    return index, ""


def _check_planned(build: DatasetBuild, plan: BuildPlan, max_rejected: float) -> None:
    """Refuse lists with too many bad lines before anything is built, so that they can still be changed."""
    if plan.rejects_too_much(max_rejected):
        build.write_rejected(plan.rejected)
        record = build.location / REJECTED_NAME
        raise too_many_rejected(plan.rejected, plan.items or 0, max_rejected, plan.plan_remedy, record)
