"""Opening a data set and reading it a row group at a time, parquet and tar alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from charmnet.errors import DataError, StorageError
from pipelines.shards.manifest import Container, Manifest, RowGroup, Stratum
from pipelines.shards.schema import SCHEMAS
from pipelines.shards.selection import Selection
from pipelines.shards.tar import read_tar_rows
from pipelines.storage import Location

_CORRUPTION = ("Corrupt", "Couldn't deserialize", "Unexpected end of stream", "decompress", "CRC checksum")


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
        try:
            if self.manifest.container is Container.TAR:
                table = read_tar_rows(self.location, shard, group, self.manifest.tar_defaults)
                table = table if columns is None else table.select(list(columns))
            else:
                filesystem, path = place.arrow()
                with filesystem.open_input_file(path) as file:
                    shard_file = pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
                    table = shard_file.read_row_group(group_index, columns=columns)
        except FileNotFoundError as error:
            raise StorageError(f"{place}: the shard is gone; restore it or shard the data again") from error
        except (pa.ArrowInvalid, pa.ArrowKeyError, IndexError) as error:
            raise DataError(
                f"{place}: row group {group_index} cannot be read ({error}); see `charmnet inspect --verify`"
            ) from error
        except OSError as error:
            raise _store_error(place, group_index, error) from error
        expected = SCHEMAS[self.manifest.kind]
        if table.num_rows != group.rows or (columns is None and table.schema.names != expected.names):
            raise DataError(
                f"{place}: row group {group_index} has {table.num_rows} rows of {table.schema.names}, "
                f"the manifest says {group.rows} of {expected.names}; shard the data again"
            )
        return table

    def selected_rows(self, table: pa.Table, selection: Selection) -> list[int]:
        """The indices of a row group's rows that a selection picks, ascending."""
        return [i for i, stratum in enumerate(strata_of(table)) if selection(stratum)]


def _store_error(place: Location, group_index: int, error: OSError) -> Exception:
    """Parquet's own complaints about content come as OSError too: tell them from the store's."""
    if any(word in str(error) for word in _CORRUPTION):
        return DataError(
            f"{place}: row group {group_index} is corrupt ({error}); see `charmnet inspect --verify`"
        )
    return StorageError(f"{place}: row group {group_index} could not be read: {error}")


def strata_of(table: pa.Table) -> list[Stratum]:
    """The stratum of every row of a table that has the columns domain, subset, category and splits."""
    columns = (table[name].to_pylist() for name in ("domain", "subset", "category", "splits"))
    return [
        Stratum(domain, subset, category, tuple(splits))
        for domain, subset, category, splits in zip(*columns, strict=True)
    ]


def selected_counts(manifest: Manifest, group: RowGroup, selection: Selection) -> tuple[int, int]:
    """(rows, samples) of a row group that a selection picks, from the manifest alone."""
    picked = [counts for index, counts in group.strata.items() if selection(manifest.strata[index])]
    return sum(rows for rows, _ in picked), sum(samples for _, samples in picked)
