"""Whether a data set is what its manifest says, to the last picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from charmnet.codecs import decode_mask
from charmnet.errors import CharmNetError, DataError
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.shards.manifest import Container
from pipelines.shards.reading import Dataset, strata_of
from pipelines.shards.rows import Row, check_pictures

_CHUNK_BYTES = 1 << 22
_RATIO_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Failure:
    """
    Attributes:
        shard: path of the file. row_group: number in it, None for the file as a whole.
        id: of the row, None for a row group as a whole.
    """

    shard: str
    row_group: int | None
    id: str | None
    reason: str


@dataclass(frozen=True)
class Check:
    """One thing to check: a shard's checksum (`row_group` None) or the rows of a row group."""

    shard: int
    row_group: int | None


def checks_of(dataset: Dataset) -> list[Check]:
    """Every checksum and every row group of a data set."""
    shards = [Check(index, None) for index in range(len(dataset.manifest.shards))]
    groups = [Check(shard, group) for shard, group, _ in dataset.manifest.groups()]
    return [*shards, *groups]


def verify(dataset: Dataset, checks: Sequence[Check]) -> Iterator[list[Failure]]:
    """Runs checks through Ray Data; yields the failures of each as it ends."""
    yield from map_on_cluster(lambda check: run_check(dataset, check), checks)


def duplicate_ids(dataset: Dataset) -> list[Failure]:
    """Rows with an id that another row has, from the column of ids alone.

    Memory: all ids at once, some 100 bytes a row. An archive's ids begin with its own path and are unique in
    it by its index, so archives are not fetched for this. A shard that cannot be read is left to `run_check`.
    """
    if dataset.manifest.container is Container.TAR:
        return []
    shards = range(len(dataset.manifest.shards))
    tables = [table for table in read_ahead(lambda index: _ids(dataset, index), shards) if table is not None]
    if not tables:
        return []
    counted = pa.concat_tables(tables).group_by("id").aggregate([("shard", "list"), ("shard", "count")])
    repeated = counted.filter(pc.greater(counted["shard_count"], 1))
    return [
        Failure(dataset.manifest.shards[row["shard_list"][-1]].path, None, row["id"], _repeated(dataset, row))
        for row in repeated.to_pylist()
    ]


def _ids(dataset: Dataset, shard: int) -> pa.Table | None:
    try:
        table = dataset.read_columns(shard, ["id"])
    except CharmNetError:
        return None
    return table.append_column("shard", pa.array([shard] * len(table), pa.int32()))


def _repeated(dataset: Dataset, row: dict[str, Any]) -> str:
    paths = sorted({dataset.manifest.shards[index].path for index in row["shard_list"]})
    return f"duplicate id: {row['shard_count']} rows have it, in {', '.join(paths)}"


def run_check(dataset: Dataset, check: Check) -> list[Failure]:
    """The failures of one check; an answer that does not come is a failure too."""
    path = dataset.manifest.shards[check.shard].path
    try:
        if check.row_group is None:
            return _checksum_failures(dataset, check.shard)
        return _row_failures(dataset, check.shard, check.row_group)
    except CharmNetError as error:
        return [Failure(path, check.row_group, None, str(error))]


def _checksum_failures(dataset: Dataset, shard_index: int) -> list[Failure]:
    shard = dataset.manifest.shards[shard_index]
    digest, size_bytes = hashlib.sha256(), 0
    with (dataset.location / shard.path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    failures = []
    if size_bytes != shard.bytes:
        failures.append(f"{size_bytes:,} bytes, the manifest says {shard.bytes:,}")
    if digest.hexdigest() != shard.sha256:
        failures.append(f"sha256 is {digest.hexdigest()}, the manifest says {shard.sha256}")
    return [Failure(shard.path, None, None, reason) for reason in failures]


def _row_failures(dataset: Dataset, shard_index: int, group_index: int) -> list[Failure]:
    shard = dataset.manifest.shards[shard_index]
    group = shard.row_groups[group_index]
    table = dataset.read_row_group(shard_index, group_index)
    failures = []
    counted = [
        dataset.manifest.strata[index] for index, (rows, _) in group.strata.items() for _ in range(rows)
    ]
    if sorted(strata_of(table), key=repr) != sorted(counted, key=repr):
        failures.append(Failure(shard.path, group_index, None, "its strata are not those of the manifest"))
    for row in table.to_pylist():
        try:
            _check_row(row)
        except DataError as error:
            failures.append(Failure(shard.path, group_index, row["id"], str(error)))
    return failures


def _check_row(row: Row) -> None:
    check_pictures(row)
    ratio = float(decode_mask(row["foreground_mask"]).mean())
    if ratio == 0 or abs(ratio - row["foreground_ratio"]) > _RATIO_TOLERANCE:
        raise DataError(f"foreground_ratio is {row['foreground_ratio']}, the mask's is {ratio}")
