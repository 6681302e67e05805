"""The shards of a manifest, stored in columns.

Every process of a run holds the shards of its data sets. A million row groups as Python objects would take a
gigabyte; in columns they take megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

MAX_COUNT = 2**53  # larger counts and sizes are invalid and would overflow elsewhere

Column = NDArray[np.unsignedinteger[Any]]

_COLUMNS = (
    *("bytes", "rows", "samples", "group_bytes", "offsets"),
    *("stratum", "stratum_rows", "stratum_samples"),
)  # of numbers, beside those that say where parts begin


@dataclass(frozen=True)
class RowGroup:
    """The unit of reading and of shuffling.

    Attributes:
        rows: number of rows.
        samples: number of training samples in an epoch: one for a pair, ten for a scene (fewer where a list
            names fewer conditions as ground truth).
        bytes: encoded size.
        strata: (rows, samples) for each stratum in the row group, by index into `Manifest.strata`.
        offset: position of the first byte in the file (tar only).
    """

    rows: int
    samples: int
    bytes: int
    strata: dict[int, tuple[int, int]]
    offset: int | None = None


@dataclass(frozen=True)
class Shard:
    """One file of rows.

    Attributes:
        path: path beneath the data set's folder.
        bytes: size of the file.
        sha256: checksum of the file, 64 hex digits.
        row_groups: its row groups, in file order.
    """

    path: str
    bytes: int
    sha256: str
    row_groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(group.rows for group in self.row_groups)

    @property
    def samples(self) -> int:
        """Number of training samples in an epoch."""
        return sum(group.samples for group in self.row_groups)

    def renumbered(self, numbers: Mapping[int, int]) -> Shard:
        """Return the shard for a manifest in which stratum i has the index `numbers[i]`."""
        groups = (
            replace(group, strata={numbers[index]: counts for index, counts in group.strata.items()})
            for group in self.row_groups
        )
        return replace(self, row_groups=tuple(groups))


class ShardTable(Sequence[Shard]):
    """A sequence of shards that creates each `Shard` on access.

    Shapes: S shards, G row groups, K entries (one for each stratum in each row group).

    Attributes:
        paths: [S] path of each shard.
        sha256: [S] checksum of each shard.
        bytes: [S] size of each shard.
        group_starts: [S+1] index of each shard's first row group.
        rows: [G] rows of each row group.
        samples: [G] samples of each row group.
        group_bytes: [G] encoded size of each row group.
        offsets: [G] offset of each row group plus 1; 0 for none.
        stratum_starts: [G+1] index of each row group's first entry.
        stratum: [K] index into `Manifest.strata`.
        stratum_rows: [K] rows of the stratum in the row group.
        stratum_samples: [K] samples of the stratum in the row group.
    """

    def __init__(self, shards: Iterable[Mapping[str, Any]]) -> None:
        """Read shards from their JSON form without checking their names.

        Raises:
            KeyError: a field is missing.
            TypeError: a field has another type.
            ValueError: a count is invalid, or a row group's strata do not add up.
        """
        shards = list(shards)
        groups = [group for shard in shards for group in shard["row_groups"]]
        strata = [(stratum, counts) for group in groups for stratum, counts in group["strata"].items()]
        offsets = [group["offset"] for group in groups]
        self.paths: list[str] = [shard["path"] for shard in shards]
        self.sha256: list[str] = [shard["sha256"] for shard in shards]
        self.bytes = _counts([shard["bytes"] for shard in shards])
        self.group_starts = _starts([len(shard["row_groups"]) for shard in shards])
        self.rows = _counts([group["rows"] for group in groups])
        self.samples = _counts([group["samples"] for group in groups])
        self.group_bytes = _counts([group["bytes"] for group in groups])
        self.offsets = _counts([0 if offset is None else 1 + offset for offset in offsets])
        self.stratum_starts = _starts([len(group["strata"]) for group in groups])
        self.stratum = _counts([int(stratum) for stratum, _ in strata])
        self.stratum_rows = _counts([rows for _, (rows, _) in strata])
        self.stratum_samples = _counts([samples for _, (_, samples) in strata])
        for whole, parts in ((self.rows, self.stratum_rows), (self.samples, self.stratum_samples)):
            _check_sums(self.stratum_starts, whole, parts)

    @classmethod
    def of_columns(cls, parts: Sequence[Mapping[str, Any]]) -> ShardTable:
        """Return the table of consecutive parts, of which each has the columns of some shards by name.

        Args:
            parts: the attributes' columns; `groups_of_shard` and `strata_of_group` are lengths in place of
                `group_starts` and `stratum_starts`.

        Raises:
            ValueError: a count is invalid, or a row group's strata do not add up.
        """
        for part in parts:  # a part at a time: sums of millions of row groups take a hundred megabytes
            starts = _starts(part["strata_of_group"])
            for name in ("rows", "samples"):
                _check_sums(starts, part[name], part[f"stratum_{name}"])
        table = cls.__new__(cls)
        table.paths = [path for part in parts for path in part["paths"]]
        table.sha256 = [digest for part in parts for digest in part["sha256"]]
        for name in _COLUMNS:
            setattr(table, name, _joined([part[name] for part in parts]))
        table.group_starts = _starts(_joined([part["groups_of_shard"] for part in parts]))
        table.stratum_starts = _starts(_joined([part["strata_of_group"] for part in parts]))
        return table

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> ShardTable:
        """Return a table of the shards: the argument itself where it is one."""
        return shards if isinstance(shards, ShardTable) else cls(map(shard_json, shards))

    def check_names(self) -> ShardTable:
        """Check the paths and checksums of all shards and return the table.

        Raises:
            ValueError: a path is absolute or leaves the data set's folder, or a checksum is invalid.
        """
        for path, sha256 in zip(self.paths, self.sha256, strict=True):
            _check_name(path, sha256)
        return self

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Shard: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Shard, ...]: ...

    def __getitem__(self, index: int | slice) -> Shard | tuple[Shard, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = range(len(self))[index]  # negative indices and IndexError as in a tuple
        start, stop = self.group_starts[number : number + 2].tolist()
        groups = tuple(map(self._group, range(start, stop)))
        return Shard(self.paths[number], int(self.bytes[number]), self.sha256[number], groups)

    def __iter__(self) -> Iterator[Shard]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ShardTable of {len(self):,} shards, {len(self.rows):,} row groups"

    def _group(self, number: int) -> RowGroup:
        start, stop = self.stratum_starts[number : number + 2].tolist()
        columns = (self.stratum, self.stratum_rows, self.stratum_samples)
        entries = zip(*(column[start:stop].tolist() for column in columns), strict=True)
        offset = int(self.offsets[number])
        return RowGroup(
            rows=int(self.rows[number]),
            samples=int(self.samples[number]),
            bytes=int(self.group_bytes[number]),
            strata={stratum: (rows, samples) for stratum, rows, samples in entries},
            offset=offset - 1 if offset else None,
        )

    def selected_samples(self, selected: Sequence[bool]) -> NDArray[np.int64]:
        """Return [G] samples of each row group whose stratum is selected.

        Args:
            selected: whether each stratum of the manifest is selected.
        """
        return _sums(self.stratum_starts, self.stratum_samples * np.array(selected, dtype=bool)[self.stratum])

    def group_indices(self) -> NDArray[np.int32]:
        """Return [G,2] (shard index, row group index in the shard) of every row group, in file order."""
        sizes = np.diff(self.group_starts)
        shards = np.repeat(np.arange(len(self)), sizes)
        within = np.arange(len(shards)) - np.repeat(self.group_starts[:-1], sizes)
        return np.column_stack([shards, within]).astype(np.int32)

    @property
    def min_strata(self) -> int:
        """Number of strata that the manifest must have: one more than the largest index."""
        return 1 + int(self.stratum.max()) if len(self.stratum) else 0

    def rows_by_stratum(self) -> dict[int, int]:
        """Return the number of rows of every stratum that occurs, by its index."""
        totals: NDArray[np.int64] = np.zeros(self.min_strata, dtype=np.int64)
        np.add.at(totals, self.stratum, self.stratum_rows)
        return {index: int(totals[index]) for index in np.unique(self.stratum).tolist()}


def shard_json(shard: Shard) -> dict[str, Any]:
    """Return the shard as it is written to the manifest."""
    groups = [
        {
            "rows": group.rows,
            "samples": group.samples,
            "bytes": group.bytes,
            "strata": group.strata,
            "offset": group.offset,
        }
        for group in shard.row_groups
    ]
    return {"path": shard.path, "bytes": shard.bytes, "sha256": shard.sha256, "row_groups": groups}


def _sums(starts: NDArray[np.int64], values: Column) -> NDArray[np.int64]:
    """Return [G] sums of consecutive values [K], of which those of G begin at `starts` [G+1]."""
    cumulative = _starts(values)
    return cumulative[starts[1:]] - cumulative[starts[:-1]]


def _check_sums(starts: NDArray[np.int64], whole: Column, parts: Column) -> None:
    if (_sums(starts, parts) != whole).any():
        raise ValueError("a row group's strata do not add up to its rows")


def _joined(parts: Sequence[NDArray[Any]]) -> Column:
    """Return parts of a column as one, in the smallest integer type that holds its largest value."""
    return np.concatenate([np.zeros(0, np.uint8), *map(smallest, parts)])


def smallest(values: NDArray[Any]) -> Column:
    """Return counts in the smallest integer type that holds the largest of them.

    Raises:
        ValueError: one of them is negative or too large.
    """
    if len(values) and not 0 <= values.min() <= values.max() <= MAX_COUNT:
        raise ValueError(f"expected counts, got {values.min()} to {values.max()}")
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _counts(values: list[int]) -> Column:
    """Return a column in the smallest integer type that holds its largest value."""
    if not set(map(type, values)) <= {int}:
        raise ValueError("expected whole numbers as counts")
    if values and not 0 <= min(values) <= max(values) <= MAX_COUNT:
        raise ValueError(f"expected counts, got {min(values)} to {max(values)}")
    return np.array(values, dtype=np.min_scalar_type(max(values, default=0)))


def _starts(lengths: Sequence[int] | Column) -> NDArray[np.int64]:
    """Return the index of each part's first element, and the total: [N+1]."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _check_name(path: Any, sha256: Any) -> None:
    if not (isinstance(path, str) and isinstance(sha256, str)):
        raise ValueError(f"expected names, got {path!r} and {sha256!r}")
    (path + sha256).encode()  # JSON allows lone surrogates, which no column, log or terminal accepts
    if path.startswith("/") or ".." in path.split("/") or "://" in path or len(sha256) != 64:
        raise ValueError(
            f"shard path {path!r} with sha256 {sha256!r}: expected a relative path and 64 hex digits"
        )
