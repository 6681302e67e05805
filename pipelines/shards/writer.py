"""Rows into one parquet file, a row group at a time, with its checksum made on the way."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest, Stratum
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, bytes_of, conditions_of, samples_of, stratum_of
from pipelines.shards.schema import ROW_GROUP_BYTES, ROW_GROUP_SAMPLES, SCHEMAS, RowKind
from pipelines.shards.shard_table import RowGroup, Shard

_TEXT_COLUMNS = ["domain", "subset", "category", "splits.list.element"]


class HashingStream:
    """A file to write to that counts and hashes what passes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.bytes += len(data)
        self._stream.write(data)
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """Left to the stream beneath, which uploads in parts of its own size."""

    def close(self) -> None:
        """Left to whoever opened the stream beneath."""

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class StratumCounter:
    """Counts rows and samples by stratum, for the manifest of one shard."""

    def __init__(self) -> None:
        self.numbers: dict[Stratum, int] = {}
        self.conditions: Counter[int] = Counter()

    def group(self, rows: Iterable[Row], bytes_: int, offset: int | None = None) -> RowGroup:
        """The manifest's entry for a row group that holds these rows."""
        counts: dict[int, tuple[int, int]] = {}
        for row in rows:
            index = self.numbers.setdefault(stratum_of(row), len(self.numbers))
            before_rows, before_samples = counts.get(index, (0, 0))
            counts[index] = (before_rows + 1, before_samples + samples_of(row))
            self.conditions.update(conditions_of(row))
        rows_, samples = (sum(column) for column in zip(*counts.values(), strict=True))
        return RowGroup(rows_, samples, bytes_, counts, offset)


@dataclass(frozen=True)
class WrittenShard:
    """What a task made: a manifest of one shard (none, if nothing was fit) and what it had to leave out."""

    manifest: Manifest
    rejected: list[Rejection]


def write_parquet(
    folder: Location, path: str, kind: RowKind, domain: Domain, rows: Iterable[Row | Rejection]
) -> WrittenShard:
    """Writes `path` beneath `folder`; memory holds one row group, whatever the number of rows.

    Raises:
        StorageError: the place cannot be written.
    """
    rejected: list[Rejection] = []
    counter = StratumCounter()
    groups: list[RowGroup] = []
    shards: tuple[Shard, ...] = ()
    with ExitStack() as stack:
        stream: HashingStream | None = None
        writer: pq.ParquetWriter | None = None
        for batch in _row_groups(rows, rejected):
            if writer is None:
                stream = HashingStream(stack.enter_context((folder / path).open("wb")))
                writer = stack.enter_context(_parquet_writer(stream, kind))
            writer.write_table(pa.Table.from_pylist(batch, SCHEMAS[kind]), row_group_size=len(batch))
            groups.append(counter.group(batch, sum(bytes_of(row) for row in batch)))
    if stream is not None:
        shards = (Shard(path, stream.bytes, stream.sha256, tuple(groups)),)
    manifest = Manifest(
        kind, Container.PARQUET, domain, tuple(counter.numbers), shards, dict(counter.conditions)
    )
    return WrittenShard(manifest, rejected)


class GroupLimit:
    """Says when a row group is full: about `ROW_GROUP_SAMPLES`, at most `ROW_GROUP_BYTES`."""

    def __init__(self) -> None:
        self.samples = self.bytes = 0

    def takes(self, samples: int, bytes_: int) -> bool:
        """Whether one more row still fits; an empty group takes any."""
        empty = self.samples == 0
        full = self.samples + samples > ROW_GROUP_SAMPLES or self.bytes + bytes_ > ROW_GROUP_BYTES
        return empty or not full

    def add(self, samples: int, bytes_: int) -> None:
        self.samples += samples
        self.bytes += bytes_


def _row_groups(rows: Iterable[Row | Rejection], rejected: list[Rejection]) -> Iterable[list[Row]]:
    batch: list[Row] = []
    limit = GroupLimit()
    for row in rows:
        if isinstance(row, Rejection):
            rejected.append(row)
            continue
        if not limit.takes(samples_of(row), bytes_of(row)):
            yield batch
            batch, limit = [], GroupLimit()
        batch.append(row)
        limit.add(samples_of(row), bytes_of(row))
    if batch:
        yield batch


def _parquet_writer(stream: HashingStream, kind: RowKind) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        pa.PythonFile(stream, mode="w"),
        SCHEMAS[kind],
        compression="none",  # the pictures are compressed as it is
        use_dictionary=_TEXT_COLUMNS,
        write_statistics=["id"],
        write_page_checksum=True,  # a flipped bit is found when the page is read
    )
