"""Opening a data set and reading it a row group at a time, parquet and tar alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.errors import DataError, StorageError
from pipelines.runtime.storage import Location, MissingError
from pipelines.shards.manifest import Container, Manifest, Stratum
from pipelines.shards.schema import ROW_GROUP_BYTES, SCHEMAS
from pipelines.shards.selection import Selection
from pipelines.shards.shard_table import RowGroup
from pipelines.shards.tar import read_tar_rows

STRATUM_COLUMNS = ("domain", "subset", "category", "splits")

_MAX_GROUP_BYTES = 4 * ROW_GROUP_BYTES  # of pictures alone it holds a quarter

# What pyarrow raises for a damaged footer; of ValueError's children mostly UnicodeDecodeError.
_UNREADABLE = (pa.ArrowException, ValueError, LookupError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Dataset:
    """Where a data set lies and what its manifest says; picklable and free of secrets."""

    location: Location
    manifest: Manifest

    @classmethod
    def open(cls, uri: str | Location) -> Dataset:
        """
        Raises:
            DataError: there is no manifest, or it is not one of this project.
            StorageError: the place cannot be read.
        """
        location = Location.of(uri)
        return cls(location, Manifest.load(location))

    def select_shards(self, shards: Sequence[int]) -> Dataset:
        """Some of its shards, for a task to carry; shard 0 is the first one named."""
        chosen = tuple(self.manifest.shards[index] for index in shards)
        return Dataset(self.location, replace(self.manifest, shards=chosen))

    def read_row_group(
        self, shard_index: int, group_index: int, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of one row group with the columns of `schema.py` (or some of them), in file order.

        Raises:
            DataError: the shard does not hold what the manifest says.
            StorageError: the shard is gone or the store does not answer.
        """
        shard = self.manifest.shards[shard_index]
        group = shard.row_groups[group_index]
        place = self.location / shard.path
        if self.manifest.container is Container.TAR:
            table = read_tar_rows(self.location, shard, group, self.manifest.tar_defaults)
            return table if columns is None else table.select(list(columns))
        with _open_parquet(place, f"row group {group_index}") as file:
            _check_claims(place, file, group_index, group.rows)
            table = file.read_row_group(group_index, columns=columns)
            self._check(place, f"row group {group_index}", table, group.rows, columns)
        return table

    def read_columns(self, shard_index: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a whole shard (parquet only), in file order; only their bytes are fetched.

        Raises:
            DataError: the shard does not hold what the manifest says.
            StorageError: the shard is gone or the store does not answer.
        """
        shard = self.manifest.shards[shard_index]
        place = self.location / shard.path
        with _open_parquet(place, "the footer or a column") as file:
            table = file.read(columns=list(columns))
            self._check(place, "it", table, shard.rows, columns)
        return table

    def _check(
        self, place: Location, part: str, table: pa.Table, rows: int, columns: Sequence[str] | None
    ) -> None:
        schema = SCHEMAS[self.manifest.kind]
        expected = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        if table.num_rows != rows or not table.schema.equals(expected):
            raise DataError(
                f"{place}: {part} has {table.num_rows} rows of {table.schema.names}, the manifest says "
                f"{rows} of {expected.names}; see `charmnet inspect --verify` and shard the data again"
            )

    def selected_rows(self, table: pa.Table, selection: Selection) -> list[int]:
        """The indices of a row group's rows that a selection picks, ascending."""
        return [i for i, stratum in enumerate(strata_of(table)) if selection(stratum)]


@contextmanager
def _open_parquet(place: Location, part: str) -> Iterator[pq.ParquetFile]:
    """Whatever reading `part` of it brings up is turned into an error that names the shard."""
    filesystem, path = place.arrow()
    try:
        with filesystem.open_input_file(path) as file:
            yield pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise MissingError(f"{place}: the shard is gone; restore it or shard the data again") from error
    except OSError as error:
        # Parquet's complaints about content are plain OSErrors too: the store's have a number or a name.
        if error.errno is not None or type(error) is not OSError or "AWS Error" in str(error):
            raise StorageError(f"{place}: {part} could not be read: {error}") from error
        raise DataError(f"{place}: {part} is corrupt ({error}); see `charmnet inspect --verify`") from error
    except _UNREADABLE as error:
        raise DataError(
            f"{place}: {part} cannot be read ({error}); see `charmnet inspect --verify`"
        ) from error


def _check_claims(place: Location, file: pq.ParquetFile, group_index: int, rows: int) -> None:
    """Refuses a row group that would unfold to more than was ever written, before it is read."""
    claimed = file.metadata.row_group(group_index)
    if claimed.num_rows != rows or not 0 <= claimed.total_byte_size <= _MAX_GROUP_BYTES:
        raise DataError(
            f"{place}: row group {group_index} claims {claimed.num_rows:,} rows in "
            f"{claimed.total_byte_size:,} bytes; the manifest says {rows:,}, "
            f"and {_MAX_GROUP_BYTES:,} is the limit"
        )


def strata_of(table: pa.Table) -> list[Stratum]:
    """The stratum of every row of a table that has the columns domain, subset, category and splits."""
    columns = (table[name].to_pylist() for name in STRATUM_COLUMNS)
    return [
        Stratum(domain, subset, category, tuple(splits))
        for domain, subset, category, splits in zip(*columns, strict=True)
    ]


def selected_counts(manifest: Manifest, group: RowGroup, selection: Selection) -> tuple[int, int]:
    """(rows, samples) of a row group that a selection picks, from the manifest alone."""
    picked = [counts for index, counts in group.strata.items() if selection(manifest.strata[index])]
    return sum(rows for rows, _ in picked), sum(samples for _, samples in picked)
