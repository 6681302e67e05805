"""The shards of a manifest in columns: of a hundred million rows they take megabytes and not gigabytes.

Every process of a run holds them, and a million row groups as objects would take a gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

MAX_COUNT = 2**53  # counts and sizes above are nonsense, and overflow elsewhere

Column = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class RowGroup:
    """The unit of reading and of shuffling.

    Attributes:
        rows: number of rows.
        samples: number of training samples in an epoch: the rows, or for scenes ten each (fewer where a list
            names fewer conditions as ground truth).
        bytes: encoded size.
        strata: for each stratum in it (index into `Manifest.strata`) its [rows, samples].
        offset: where its bytes begin in the file (tar only).
    """

    rows: int
    samples: int
    bytes: int
    strata: dict[int, tuple[int, int]]
    offset: int | None = None


@dataclass(frozen=True)
class Shard:
    path: str
    bytes: int
    sha256: str
    row_groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.row_groups)

    @property
    def samples(self) -> int:
        return sum(group.samples for group in self.row_groups)

    def renumbered(self, numbers: Mapping[int, int]) -> Shard:
        """The same shard in a manifest where stratum i is number `numbers[i]`."""
        groups = (
            replace(group, strata={numbers[index]: counts for index, counts in group.strata.items()})
            for group in self.row_groups
        )
        return replace(self, row_groups=tuple(groups))


class ShardTable(Sequence[Shard]):
    """A sequence of shards, each made when it is asked for.

    Attributes:
        paths, sha256: [S]. bytes: [S].
        group_starts: [S+1] where each shard's row groups begin among all.
        rows, samples, group_bytes, offsets: [G] of the row groups; 0 is no offset, else it is 1 more.
        stratum_starts: [G+1] where each row group's entries begin in the columns below.
        stratum, stratum_rows, stratum_samples: [K] index into `Manifest.strata`, and what of it is there.
    """

    def __init__(self, shards: Iterable[Mapping[str, Any]]) -> None:
        """From the shards as JSON has them; their names are taken as they are.

        Raises:
            KeyError, TypeError, ValueError: they are none, or a row group does not add up.
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
            if (self._sums(parts) != whole).any():
                raise ValueError("a row group's strata do not add up to its rows")

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> ShardTable:
        return shards if isinstance(shards, ShardTable) else cls(map(shard_json, shards))

    def check_names(self) -> ShardTable:
        """
        Raises:
            ValueError: a path is absolute or leads elsewhere, or a checksum is none.
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
        number = range(len(self))[index]  # as a tuple takes it: from the end, and no further
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
        strata = {
            stratum: (rows, samples)
            for stratum, rows, samples in zip(*(c[start:stop].tolist() for c in columns), strict=True)
        }
        offset = int(self.offsets[number])
        rows, samples, size = (int(column[number]) for column in (self.rows, self.samples, self.group_bytes))
        return RowGroup(rows, samples, size, strata, offset - 1 if offset else None)

    def _sums(self, values: Column) -> NDArray[np.int64]:
        """Over the entries of each row group."""
        before = _starts(values)
        return before[self.stratum_starts[1:]] - before[self.stratum_starts[:-1]]

    def selected_samples(self, selected: Sequence[bool]) -> NDArray[np.int64]:
        """[G] samples of each row group that are of the strata which are selected."""
        return self._sums(self.stratum_samples * np.array(selected, dtype=bool)[self.stratum])

    def group_indices(self) -> NDArray[np.int32]:
        """[G, 2] (shard index, row group index) of every row group, in file order."""
        sizes = np.diff(self.group_starts)
        shards = np.repeat(np.arange(len(self)), sizes)
        within = np.arange(len(shards)) - np.repeat(self.group_starts[:-1], sizes)
        return np.column_stack([shards, within]).astype(np.int32)

    @property
    def num_strata(self) -> int:
        """How many strata there are at least: 1 more than the last one's index."""
        return 1 + int(self.stratum.max()) if len(self.stratum) else 0

    def rows_by_stratum(self) -> dict[int, int]:
        """Rows of every stratum that some row group holds."""
        totals: NDArray[np.int64] = np.zeros(self.num_strata, dtype=np.int64)
        np.add.at(totals, self.stratum, self.stratum_rows)
        return {index: int(totals[index]) for index in np.unique(self.stratum).tolist()}


def shard_json(shard: Shard) -> dict[str, Any]:
    """What the manifest's file says of a shard."""
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


def _counts(values: list[int]) -> Column:
    """A column in as few bytes as its largest value needs."""
    if not set(map(type, values)) <= {int}:
        raise ValueError("expected counts, got something else than whole numbers")
    if values and not 0 <= min(values) <= max(values) <= MAX_COUNT:
        raise ValueError(f"expected counts, got {min(values)} to {max(values)}")
    return np.array(values, dtype=np.min_scalar_type(max(values, default=0)))


def _starts(lengths: Sequence[int] | Column) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _check_name(path: Any, sha256: Any) -> None:
    if not (isinstance(path, str) and isinstance(sha256, str)):
        raise ValueError(f"expected names, got {path!r} and {sha256!r}")
    (path + sha256).encode()  # JSON can spell half a character, which no column, log or terminal takes
    if path.startswith("/") or ".." in path.split("/") or "://" in path or len(sha256) != 64:
        raise ValueError(
            f"shard path {path!r} with sha256 {sha256!r}: expected a relative path and 64 hex digits"
        )
