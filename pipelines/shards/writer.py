"""Writing of rows to one parquet shard, one row group at a time, with its checksum and manifest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, bytes_of, conditions_of, samples_of, stratum_of
from pipelines.shards.schema import ROW_GROUP_BYTES, ROW_GROUP_SAMPLES, SCHEMAS, RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum

_TEXT_COLUMNS = ["domain", "subset", "category", "splits.list.element"]


class HashingStream:
    """A file object for writing that counts and hashes the bytes it passes on.

    Attributes:
        bytes: number of bytes written.
        closed: always False; pyarrow requires the attribute.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Write all of the data and return its length."""
        self._hash.update(data)
        self.bytes += len(data)
        self._stream.write(data)
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.bytes

    def flush(self) -> None:
        """Do nothing: the underlying stream uploads in parts of its own size."""

    def close(self) -> None:
        """Do nothing: the function that opened the underlying stream closes it."""

    @property
    def sha256(self) -> str:
        """Checksum (hex) of the bytes written so far."""
        return self._hash.hexdigest()


class StratumCounter:
    """Counter of rows and samples by stratum for the manifest of one shard.

    Attributes:
        numbers: index of each stratum, in order of appearance.
        conditions: number of ground truths by capture condition 0-9.
    """

    def __init__(self) -> None:
        self.numbers: dict[Stratum, int] = {}
        self.conditions: Counter[int] = Counter()

    def row_group(self, rows: Iterable[Row], size_bytes: int, offset: int | None = None) -> RowGroup:
        """Count the rows of a row group (at least one) and return its entry in the manifest."""
        counts: dict[int, tuple[int, int]] = {}
        for row in rows:
            index = self.numbers.setdefault(stratum_of(row), len(self.numbers))
            before_rows, before_samples = counts.get(index, (0, 0))
            counts[index] = (before_rows + 1, before_samples + samples_of(row))
            self.conditions.update(conditions_of(row))
        num_rows, num_samples = (sum(column) for column in zip(*counts.values(), strict=True))
        return RowGroup(num_rows, num_samples, size_bytes, counts, offset)


@dataclass(frozen=True)
class WrittenShard:
    """The result of writing one shard.

    Attributes:
        manifest: manifest with the shard, or with no shard if every sample was rejected.
        rejected: the samples that were left out.
        remarks: how many of the pictures lost what, in the words of the summary.
    """

    manifest: Manifest
    rejected: list[Rejection]
    remarks: Counter[str] = field(default_factory=Counter)


def write_parquet(
    folder: Location, path: str, kind: RowKind, domain: Domain, rows: Iterable[Row | Rejection]
) -> WrittenShard:
    """Write rows to the shard `path` in `folder`, holding one row group in memory at a time.

    Args:
        rows: the rows, and rejections that are passed on to the result.

    Raises:
        StorageError: the shard cannot be written.
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
            groups.append(counter.row_group(batch, sum(bytes_of(row) for row in batch)))
    if stream is not None:
        shards = (Shard(path, stream.bytes, stream.sha256, tuple(groups)),)
    manifest = Manifest(
        kind=kind,
        container=Container.PARQUET,
        domain=domain,
        strata=tuple(counter.numbers),
        shards=shards,
        conditions=dict(counter.conditions),
    )
    return WrittenShard(manifest, rejected)


class GroupLimit:
    """The size of a row group: about `ROW_GROUP_SAMPLES` samples and at most `ROW_GROUP_BYTES`.

    Attributes:
        samples: samples so far.
        bytes: encoded size so far.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.bytes = 0

    def fits(self, samples: int, size_bytes: int) -> bool:
        """Return whether one more row fits; any row fits an empty group."""
        empty = self.samples == 0
        full = self.samples + samples > ROW_GROUP_SAMPLES or self.bytes + size_bytes > ROW_GROUP_BYTES
        return empty or not full

    def add(self, samples: int, size_bytes: int) -> None:
        """Add the size of one row."""
        self.samples += samples
        self.bytes += size_bytes


def _row_groups(rows: Iterable[Row | Rejection], rejected: list[Rejection]) -> Iterable[list[Row]]:
    """Yield the rows of one row group after another; append rejections to `rejected`."""
    batch: list[Row] = []
    limit = GroupLimit()
    for row in rows:
        if isinstance(row, Rejection):
            rejected.append(row)
            continue
        if not limit.fits(samples_of(row), bytes_of(row)):
            yield batch
            batch = []
            limit = GroupLimit()
        batch.append(row)
        limit.add(samples_of(row), bytes_of(row))
    if batch:
        yield batch


def _parquet_writer(stream: HashingStream, kind: RowKind) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        pa.PythonFile(stream, mode="w"),
        SCHEMAS[kind],
        compression="none",  # the pictures are compressed already
        use_dictionary=_TEXT_COLUMNS,
        write_statistics=["id"],
        write_page_checksum=True,  # reading a page detects a flipped bit
    )
