"""Shards of a large manifest as a parquet file beside `manifest.json`, which names it with its checksum.

The file has a row for each shard, with its row groups and their strata as nested lists. A hundred thousand
shards load in a second and tens of megabytes; as JSON they take half a minute and a gigabyte.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from charmnet.errors import DataError
from pipelines.runtime.storage import Location
from pipelines.shards.shard_table import ShardTable, smallest

_STRATUM = pa.struct([pa.field(name, pa.int64(), nullable=False) for name in ("stratum", "rows", "samples")])
_GROUP = pa.struct(
    [
        *(pa.field(name, pa.int64(), nullable=False) for name in ("rows", "samples", "bytes", "offset")),
        pa.field("strata", pa.list_(pa.field("element", _STRATUM, nullable=False)), nullable=False),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("row_groups", pa.list_(pa.field("element", _GROUP, nullable=False)), nullable=False),
    ]
)
"""Columns of the file; `offset` is that of the row group plus 1, and 0 for none."""

_NAME = re.compile(r"manifest-[0-9a-f]{16}\.parquet")
_SHARDS_PER_PART = 2048  # that are decoded at a time
_MAX_BYTES = 1 << 29  # many times those of a hundred million rows
_MAX_VALUES = 1 << 28  # of the whole file: many times those of a hundred million rows


def write_columns(table: ShardTable) -> tuple[dict[str, Any], bytes]:
    """Return the entry of the manifest that names the file, and the file's content."""
    sink = pa.BufferOutputStream()
    pq.write_table(_arrow_table(table), sink, row_group_size=_SHARDS_PER_PART, compression="zstd")
    data = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"path": f"manifest-{digest[:16]}.parquet", "bytes": len(data), "sha256": digest}, data


def read_columns(entry: dict[str, Any], folder: Location | None) -> ShardTable:
    """Return the shards of the file that an entry of the manifest names, their names not checked.

    Args:
        entry: path, bytes and sha256 of the file; it is not trusted.
        folder: the data set's folder; None where it is not known.

    Raises:
        DataError: the file is not the one that the manifest was written with.
        StorageError: it cannot be read.
        KeyError, TypeError, ValueError: the entry or the file is not of this project.
    """
    name, size_bytes, sha256 = entry["path"], entry["bytes"], entry["sha256"]
    if folder is None or not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"shards: path is {name!r}, expected manifest-*.parquet beside the manifest")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or not 0 <= size_bytes <= _MAX_BYTES:
        raise ValueError(f"shards: {size_bytes!r} bytes, expected 0 to {_MAX_BYTES:,}")
    data = (folder / name).read_range(0, size_bytes + 1)
    if len(data) != size_bytes or hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            f"{folder / name}: not the file that manifest.json was written with (its size or SHA-256 "
            "differs); copy both from where the data set was made, or shard the data again"
        )
    try:
        return _shard_table(pq.ParquetFile(pa.BufferReader(data)))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{folder / name}: {error}") from error


def _arrow_table(table: ShardTable) -> pa.Table:
    strata = _lists(
        table.stratum_starts,
        _structs(_STRATUM, table.stratum, table.stratum_rows, table.stratum_samples),
    )
    groups = _structs(_GROUP, table.rows, table.samples, table.group_bytes, table.offsets, strata)
    return pa.table(
        [table.paths, table.sha256, table.bytes.astype(np.int64), _lists(table.group_starts, groups)],
        schema=SCHEMA,
    )


def _structs(kind: pa.StructType, *columns: Any) -> pa.StructArray:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column.astype(np.int64)) for column in columns
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _lists(starts: NDArray[np.int64], values: pa.StructArray) -> pa.ListArray:
    kind = pa.list_(pa.field("element", values.type, nullable=False))
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values, type=kind)


def _shard_table(file: pq.ParquetFile) -> ShardTable:
    if not file.schema_arrow.equals(SCHEMA):
        raise ValueError(f"columns {file.schema_arrow.names} of other types than {SCHEMA.names}")
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    values = sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    if values > _MAX_VALUES:
        raise ValueError(f"{values:,} values, expected at most {_MAX_VALUES:,}")
    parts = [_columns(batch) for batch in file.iter_batches(_SHARDS_PER_PART, use_threads=False)]
    return ShardTable.of_columns(parts)


def _columns(batch: pa.RecordBatch) -> dict[str, Any]:
    """Return the columns of a `ShardTable` by name, numbers in the smallest types."""
    groups = batch["row_groups"].flatten()
    rows, samples, size_bytes, offsets, lists = groups.flatten()
    stratum, stratum_rows, stratum_samples = lists.flatten().flatten()
    numbers = {
        "bytes": batch["bytes"],
        "groups_of_shard": batch["row_groups"].value_lengths(),
        "rows": rows,
        "samples": samples,
        "group_bytes": size_bytes,
        "offsets": offsets,
        "strata_of_group": lists.value_lengths(),
        "stratum": stratum,
        "stratum_rows": stratum_rows,
        "stratum_samples": stratum_samples,
    }
    named = {"paths": batch["path"].to_pylist(), "sha256": batch["sha256"].to_pylist()}
    return {**named, **{name: smallest(_values(array)) for name, array in numbers.items()}}


def _values(array: pa.Array) -> NDArray[Any]:
    """Return the numbers of an array without nulls; Arrow's own way would load pandas, 40 MB of it."""
    kind = np.dtype(str(array.type))
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * kind.itemsize)
