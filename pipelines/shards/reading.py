"""Reading of a data set, one row group at a time, from parquet and tar shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.errors import DataError, StorageError
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import MissingError
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.schema import ROW_GROUP_BYTES, SCHEMAS
from pipelines.shards.selection import Selection
from pipelines.shards.shard_table import RowGroup
from pipelines.shards.stratum import Stratum
from pipelines.shards.tar import read_tar_rows

STRATUM_COLUMNS = ("domain", "subset", "category", "splits")

_MAX_GROUP_BYTES = 4 * ROW_GROUP_BYTES  # a fourfold margin over the encoded pictures

# Raised by pyarrow for a damaged footer; ValueError mostly as UnicodeDecodeError.
_UNREADABLE = (pa.ArrowException, ValueError, LookupError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Dataset:
    """A data set's folder and manifest; it can be pickled and holds no secrets."""

    location: Location
    manifest: Manifest

    @classmethod
    def open(cls, uri: str | Location) -> Dataset:
        """Open the data set in a folder.

        Raises:
            DataError: there is no manifest, or it is not one of this project.
            StorageError: the folder cannot be read.
        """
        location = Location.of(uri)
        return cls(location, Manifest.load(location))

    def select_shards(self, shards: Sequence[int]) -> Dataset:
        """Return the data set with only these shards, in this order: a smaller value to send to a task."""
        chosen = tuple(self.manifest.shards[index] for index in shards)
        return Dataset(self.location, replace(self.manifest, shards=chosen))

    def read_row_group(
        self, shard_index: int, group_index: int, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Read the rows of one row group, in file order.

        Args:
            columns: names of columns in `schema.py`; None for all.

        Raises:
            DataError: the shard does not hold what the manifest says.
            StorageError: the shard is gone or the store does not answer.
        """
        shard = self.manifest.shards[shard_index]
        group = shard.row_groups[group_index]
        location = self.location / shard.path
        if self.manifest.container is Container.TAR:
            table = read_tar_rows(self.location, shard, group, self.manifest.tar_defaults)
            return table if columns is None else table.select(list(columns))
        with _open_parquet(location, f"row group {group_index}") as file:
            _check_group_size(location, file, group_index, group.rows)
            table = file.read_row_group(group_index, columns=columns)
            self._check(location, f"row group {group_index}", table, group.rows, columns)
        return table

    def read_columns(self, shard_index: int, columns: Sequence[str]) -> pa.Table:
        """Read some columns of a whole shard, in file order; only their bytes are fetched (parquet only).

        Raises:
            DataError: the shard does not hold what the manifest says.
            StorageError: the shard is gone or the store does not answer.
        """
        shard = self.manifest.shards[shard_index]
        location = self.location / shard.path
        with _open_parquet(location, "the footer or a column") as file:
            table = file.read(columns=list(columns))
            self._check(location, "the shard", table, shard.rows, columns)
        return table

    def _check(
        self, location: Location, part: str, table: pa.Table, rows: int, columns: Sequence[str] | None
    ) -> None:
        schema = SCHEMAS[self.manifest.kind]
        expected = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        if table.num_rows != rows or not table.schema.equals(expected):
            raise DataError(
                f"{location}: {part} has {table.num_rows} rows of {table.schema.names}, the manifest says "
                f"{rows} of {expected.names}; see `charmnet inspect --verify` and shard the data again"
            )

    def selected_rows(self, table: pa.Table, selection: Selection) -> list[int]:
        """Return the indices, ascending, of the rows that a selection picks."""
        return [i for i, stratum in enumerate(strata_of(table)) if selection(stratum)]


@contextmanager
def _open_parquet(location: Location, part: str) -> Iterator[pq.ParquetFile]:
    """Open a shard and turn errors while reading `part` of it into errors that name the shard."""
    try:
        with location.random_access() as file:
            yield pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
    except MissingError as error:
        raise MissingError(f"{location}: the shard is gone; restore it or shard the data again") from error
    except OSError as error:  # a local file, or Arrow about damaged content
        if error.errno is not None or type(error) is not OSError:
            raise StorageError(f"{location}: {part} could not be read: {error}") from error
        raise DataError(
            f"{location}: {part} is corrupt ({error}); see `charmnet inspect --verify`"
        ) from error
    except _UNREADABLE as error:
        raise DataError(
            f"{location}: {part} cannot be read ({error}); see `charmnet inspect --verify`"
        ) from error


def _check_group_size(location: Location, file: pq.ParquetFile, group_index: int, rows: int) -> None:
    """Check a row group's size before reading it, so that a damaged footer cannot exhaust memory."""
    claimed = file.metadata.row_group(group_index)
    if claimed.num_rows != rows or not 0 <= claimed.total_byte_size <= _MAX_GROUP_BYTES:
        raise DataError(
            f"{location}: row group {group_index} claims {claimed.num_rows:,} rows in "
            f"{claimed.total_byte_size:,} bytes; the manifest says {rows:,}, "
            f"and {_MAX_GROUP_BYTES:,} is the limit"
        )


def strata_of(table: pa.Table) -> list[Stratum]:
    """Return the stratum of every row of a table that has the columns `STRATUM_COLUMNS`."""
    columns = (table[name].to_pylist() for name in STRATUM_COLUMNS)
    return [
        Stratum(domain, subset, category, tuple(splits))
        for domain, subset, category, splits in zip(*columns, strict=True)
    ]


def selected_counts(manifest: Manifest, group: RowGroup, selection: Selection) -> tuple[int, int]:
    """Count the (rows, samples) of a row group that a selection picks, from the manifest alone."""
    picked = [counts for index, counts in group.strata.items() if selection(manifest.strata[index])]
    return sum(rows for rows, _ in picked), sum(samples for _, samples in picked)
