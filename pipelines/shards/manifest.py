"""`manifest.json`: what a data set holds, down to the row group, without opening a shard.

A *stratum* is one combination of domain, subset, category and splits. Every row group says how many rows and
samples of which strata it holds, so that a selection such as ``split == 'IHD_nonhuman_train'`` is counted and
planned from the manifest alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.schema import SCHEMA_VERSION, RowKind
from pipelines.shards.shard_table import MAX_COUNT, RowGroup, Shard, ShardTable, shard_json

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 29  # a hundred million rows take half of it


class Container(StrEnum):
    """How the rows lie in a shard's file."""

    PARQUET = "parquet"
    TAR = "tar"  # the WebDataset convention, read as it is by byte range


@dataclass(frozen=True)
class Stratum:
    domain: Domain
    subset: str
    category: str | None
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """
    Attributes:
        shards: kept as a `ShardTable`, whatever sequence they are given in.
        kind: what a row is. container: how rows lie in files. domain: of all rows.
        conditions: number of stored pictures by capture condition as ground truth (rendered domain).
        source: how it was made (command, lists, options): what a second run compares before it goes on.
        tar_defaults: what holds where a sample in an archive does not say (tar only).
    """

    kind: RowKind
    container: Container
    domain: Domain
    strata: tuple[Stratum, ...]
    shards: Sequence[Shard]
    conditions: dict[int, int] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    tar_defaults: Stratum | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "shards", ShardTable.of(self.shards))

    @property
    def table(self) -> ShardTable:
        """The shards, for who wants something of all of them."""
        assert isinstance(self.shards, ShardTable)
        return self.shards

    @property
    def rows(self) -> int:
        return int(self.table.rows.sum(dtype=np.int64))

    @property
    def samples(self) -> int:
        return int(self.table.samples.sum(dtype=np.int64))

    @property
    def bytes(self) -> int:
        return int(self.table.bytes.sum(dtype=np.int64))

    @property
    def digest(self) -> str:
        """SHA-256 over what the shards hold: the identity of the data set, wherever it lies."""
        content = list(map(list, zip(self.table.paths, self.table.sha256, strict=True)))
        return hashlib.sha256(json.dumps([self.kind, self.domain, content]).encode()).hexdigest()

    def groups(self) -> Iterator[tuple[int, int, RowGroup]]:
        """(shard index, row group index, row group) in file order."""
        for shard_index, shard in enumerate(self.shards):
            for group_index, group in enumerate(shard.row_groups):
                yield shard_index, group_index, group

    @classmethod
    def merged(cls, parts: Sequence[Manifest], source: dict[str, Any]) -> Manifest:
        """One manifest of the shards of several, which are of one kind, container, domain and defaults.

        Raises:
            ValueError: there are none, or they differ in kind.
        """
        kinds = {(part.kind, part.container, part.domain, part.tar_defaults) for part in parts}
        if len(kinds) != 1:
            raise ValueError(f"manifests of {len(kinds)} kinds cannot be merged, expected one kind")
        numbers: dict[Stratum, int] = {}
        conditions: Counter[int] = Counter()
        shards: list[Shard] = []
        for part in parts:
            renumbered = {
                index: numbers.setdefault(stratum, len(numbers)) for index, stratum in enumerate(part.strata)
            }
            conditions.update(part.conditions)
            shards.extend(shard.renumbered(renumbered) for shard in part.shards)
        kind, container, domain, defaults = kinds.pop()
        ordered = dict(sorted(conditions.items()))
        return cls(kind, container, domain, tuple(numbers), tuple(shards), ordered, source, defaults)

    def totals(self) -> dict[str, dict[str, int]]:
        """Rows by domain, subset, category and split."""
        totals: dict[str, Counter[str]] = {
            name: Counter() for name in ("domain", "subset", "category", "split")
        }
        for index, rows in self.table.rows_by_stratum().items():
            stratum = self.strata[index]
            totals["domain"][stratum.domain] += rows
            totals["subset"][stratum.subset] += rows
            totals["category"][stratum.category or "(none)"] += rows
            for split in stratum.splits:
                totals["split"][split] += rows
        return {name: dict(sorted(counter.items())) for name, counter in totals.items()}

    def selectable_names(self) -> str:
        """What a selection can pick, for messages: `domain real; subset HCOCO, HFlickr; split test`."""
        found = {field: ", ".join(map(str, names)) for field, names in self.totals().items() if names}
        return "; ".join(f"{field} {names}" for field, names in found.items())

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(replace(self, shards=())),
            "shards": [shard_json(shard) for shard in self.shards],
            "rows": self.rows,
            "samples": self.samples,
            "digest": self.digest,
            "totals": self.totals(),
        }

    @classmethod
    def from_json(cls, value: Any, where: str = MANIFEST_NAME) -> Manifest:
        """
        Raises:
            DataError: it is no manifest, of another schema version, or does not add up; names the field.
        """
        try:
            version = value["schema_version"]
            if version != SCHEMA_VERSION:
                raise DataError(
                    f"{where}: schema_version is {version!r}, this release reads {SCHEMA_VERSION}; "
                    "shard the data again"
                )
            manifest = cls(
                kind=RowKind(value["kind"]),
                container=Container(value["container"]),
                domain=Domain(value["domain"]),
                strata=tuple(_stratum(entry) for entry in value["strata"]),
                shards=ShardTable(value["shards"]).check_names(),
                conditions={int(k): _count(v) for k, v in value["conditions"].items()},
                source=dict(value["source"]),
                tar_defaults=None if value["tar_defaults"] is None else _stratum(value["tar_defaults"]),
            )
            if manifest.rows != value["rows"] or manifest.table.num_strata > len(manifest.strata):
                raise ValueError("rows or strata do not add up")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(
                f"{where}: not a manifest of this project ({type(error).__name__}: {error})"
            ) from error
        return manifest

    def save(self, folder: Location) -> None:
        (folder / MANIFEST_NAME).write_bytes(json.dumps(self.to_json(), separators=(",", ":")).encode())

    @classmethod
    def load(cls, folder: Location) -> Manifest:
        place = folder / MANIFEST_NAME
        if not place.exists():
            raise DataError(
                f"{folder}: no {MANIFEST_NAME} there; expected a data set made by `charmnet shard`"
            )
        return cls.from_json(place.read_json(MAX_MANIFEST_BYTES), str(place))


def _stratum(entry: dict[str, Any]) -> Stratum:
    category, splits = entry["category"], tuple(_name(split) for split in entry["splits"])
    return Stratum(
        Domain(entry["domain"]),
        _name(entry["subset"]),
        None if category is None else _name(category),
        splits,
    )


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a name, got {value!r}")
    value.encode()  # JSON can spell half a character, which no column, log or terminal takes
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"expected a count, got {value!r}")
    return value
