"""The manifest of a data set: its shards, row groups and strata, stored in `manifest.json`.

Where there are more than a thousand shards, `manifest.json` names a parquet file that lists them
(`shard_columns`). It stays the file by which a data set is found, and is written last.

A *stratum* is one combination of domain, subset, category and splits. The manifest gives the number of rows
and samples of each stratum in each row group. A selection such as ``split == 'IHD_nonhuman_train'`` is
therefore counted, and an epoch planned, without opening a shard.
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
from pipelines.shards.shard_columns import read_columns, write_columns
from pipelines.shards.shard_table import MAX_COUNT, RowGroup, Shard, ShardTable, shard_json
from pipelines.shards.stratum import Stratum

MANIFEST_NAME = "manifest.json"
COLORS_NAME = "colors.parquet"
MAX_MANIFEST_BYTES = 1 << 29  # twice what a hundred million rows need
MAX_LISTED_SHARDS = 1000  # of a manifest.json; more are in a parquet file beside it

ManifestFiles = dict[str, bytes]
"""Content of the files that a manifest is stored as, by name."""


class Container(StrEnum):
    """The file format of the shards."""

    PARQUET = "parquet"
    TAR = "tar"  # WebDataset archives, read in place by byte range


@dataclass(frozen=True)
class ColorsFile:
    """The file of foregrounds' colours beside the manifest of photographs.

    Attributes:
        path: path beneath the data set's folder.
        bytes: size.
        sha256: checksum (hex).
        per_mask: composites of each mask that are evaluated.
    """

    path: str
    bytes: int
    sha256: str
    per_mask: int


@dataclass(frozen=True)
class Manifest:
    """The contents of a data set.

    Attributes:
        kind: kind of all rows.
        container: file format of all shards.
        domain: domain of all rows.
        strata: the strata that occur; row groups refer to them by index.
        shards: the shards, stored as a `ShardTable` whatever sequence is passed.
        conditions: number of ground truths by capture condition 0-9 (rendered domain).
        source: the request that the data set was built from (command, lists, options). A later run compares
            it with its own request before it continues.
        tar_defaults: values for samples whose archive does not give them (tar only).
        colors: file of the foregrounds' colours (photographs only).
        schema_version: version of the row schemas.
    """

    kind: RowKind
    container: Container
    domain: Domain
    strata: tuple[Stratum, ...]
    shards: Sequence[Shard]
    conditions: dict[int, int] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    tar_defaults: Stratum | None = None
    colors: ColorsFile | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "shards", ShardTable.of(self.shards))

    @property
    def table(self) -> ShardTable:
        """The shards as columns."""
        assert isinstance(self.shards, ShardTable)
        return self.shards

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.table.rows.sum(dtype=np.int64))

    @property
    def samples(self) -> int:
        """Number of training samples in an epoch."""
        return int(self.table.samples.sum(dtype=np.int64))

    @property
    def bytes(self) -> int:
        """Size of all shards."""
        return int(self.table.bytes.sum(dtype=np.int64))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the files' checksums: the identity of the data set, wherever it is stored."""
        content = list(map(list, zip(self.table.paths, self.table.sha256, strict=True)))
        if self.colors is not None:
            content.append([self.colors.path, self.colors.sha256])
        return hashlib.sha256(json.dumps([self.kind, self.domain, content]).encode()).hexdigest()

    def groups(self) -> Iterator[tuple[int, int, RowGroup]]:
        """Yield (shard index, row group index, row group) in file order."""
        for shard_index, shard in enumerate(self.shards):
            for group_index, group in enumerate(shard.row_groups):
                yield shard_index, group_index, group

    @classmethod
    def merged(cls, parts: Sequence[Manifest], source: dict[str, Any]) -> Manifest:
        """Merge manifests of the same kind, container, domain and defaults into one.

        Raises:
            ValueError: there are no manifests, or they differ in one of these.
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
        return cls(
            kind=kind,
            container=container,
            domain=domain,
            strata=tuple(numbers),
            shards=tuple(shards),
            conditions=dict(sorted(conditions.items())),
            source=source,
            tar_defaults=defaults,
        )

    def totals(self) -> dict[str, dict[str, int]]:
        """Count rows by domain, subset, category and split: {dimension: {name: rows}}."""
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
        """List the names that a selection can pick: `domain real; subset HCOCO, HFlickr; split test`."""
        named = {field: ", ".join(map(str, names)) for field, names in self.totals().items() if names}
        return "; ".join(f"{field} {names}" for field, names in named.items())

    def to_json(self) -> dict[str, Any]:
        """Return the content of a `manifest.json` that lists all shards."""
        return self._json([shard_json(shard) for shard in self.shards])

    def _json(self, shards: list[Any] | dict[str, Any]) -> dict[str, Any]:
        return {
            **asdict(replace(self, shards=())),
            "shards": shards,
            "rows": self.rows,
            "samples": self.samples,
            "digest": self.digest,
            "totals": self.totals(),
        }

    @classmethod
    def from_json(cls, value: Any, path: str = MANIFEST_NAME, folder: Location | None = None) -> Manifest:
        """Check and return the manifest that `to_json` described.

        Args:
            value: the parsed JSON; it is not trusted.
            path: the file's path, for messages.
            folder: the data set's folder, where the shards may be in a parquet file.

        Raises:
            DataError: the value is no manifest, has another schema version, or its counts do not add up.
            StorageError: the parquet file cannot be read.
        """
        try:
            _check_version(value["schema_version"], path)
            manifest = cls(
                kind=RowKind(value["kind"]),
                container=Container(value["container"]),
                domain=Domain(value["domain"]),
                strata=tuple(_stratum(entry) for entry in value["strata"]),
                shards=_shard_table(value["shards"], folder).check_names(),
                conditions={int(k): _count(v) for k, v in value["conditions"].items()},
                source=dict(value["source"]),
                tar_defaults=None if value["tar_defaults"] is None else _stratum(value["tar_defaults"]),
                colors=None if value.get("colors") is None else _colors_file(value["colors"]),
            )
            _check_counts(manifest, value["rows"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(
                f"{path}: not a manifest of this project ({type(error).__name__}: {error})"
            ) from error
        return manifest

    def files(self) -> ManifestFiles:
        """Return the files that the manifest is stored as, by name, in the order that they are written in."""
        if len(self.shards) <= MAX_LISTED_SHARDS:
            return {MANIFEST_NAME: _json_bytes(self.to_json())}
        entry, data = write_columns(self.table)
        return {entry["path"]: data, MANIFEST_NAME: _json_bytes(self._json(entry))}

    def save(self, folder: Location) -> None:
        """Write the manifest into the data set's folder, `manifest.json` last."""
        for name, data in self.files().items():
            (folder / name).write_bytes(data)

    @classmethod
    def load(cls, folder: Location) -> Manifest:
        """Read the manifest of a data set.

        Raises:
            DataError: the folder has no manifest, or the file is not one of this project.
            StorageError: the file cannot be read.
        """
        location = folder / MANIFEST_NAME
        if not location.exists():
            raise DataError(
                f"{folder}: no {MANIFEST_NAME} there; expected a data set made by `charmnet shard`"
            )
        return cls.from_json(location.read_json(MAX_MANIFEST_BYTES), str(location), folder)


def _shard_table(shards: Any, folder: Location | None) -> ShardTable:
    return read_columns(shards, folder) if isinstance(shards, dict) else ShardTable(shards)


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _check_version(version: Any, path: str) -> None:
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema_version is {version!r}, this release reads {SCHEMA_VERSION}; "
            "shard the data again"
        )


def _check_counts(manifest: Manifest, rows: Any) -> None:
    if manifest.colors is not None and manifest.kind is not RowKind.PHOTOGRAPH:
        raise ValueError("colors: expected of photographs alone")
    if manifest.rows != rows or manifest.table.min_strata > len(manifest.strata):
        raise ValueError("rows or strata do not add up")


def _colors_file(entry: dict[str, Any]) -> ColorsFile:
    path, sha256 = _name(entry["path"]), _name(entry["sha256"])
    if path != COLORS_NAME:
        raise ValueError(f"colors: path is {path!r}, expected {COLORS_NAME!r}")
    return ColorsFile(path, _count(entry["bytes"]), sha256, max(1, _count(entry["per_mask"])))


def _stratum(entry: dict[str, Any]) -> Stratum:
    return Stratum(
        domain=Domain(entry["domain"]),
        subset=_name(entry["subset"]),
        category=None if entry["category"] is None else _name(entry["category"]),
        splits=tuple(_name(split) for split in entry["splits"]),
    )


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a name, got {value!r}")
    value.encode()  # JSON allows lone surrogates, which no column, log or terminal accepts
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"expected a count, got {value!r}")
    return value
