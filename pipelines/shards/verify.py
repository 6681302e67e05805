"""Verification of a data set against its manifest: checksums, pictures, strata and ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from charmnet.codecs import decode_mask
from charmnet.errors import CharmNetError, DataError
from pipelines.runtime.cluster import map_on_cluster
from pipelines.runtime.concurrency import read_ahead
from pipelines.shards.foreground_colors import read_colors
from pipelines.shards.manifest import COLORS_NAME, Container
from pipelines.shards.reading import Dataset, strata_of
from pipelines.shards.rows import Row, check_pictures, row_kind
from pipelines.shards.schema import FEW_SAMPLES, RowKind
from pipelines.shards.stratum import Stratum

_CHUNK_BYTES = 1 << 22
_RATIO_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Failure:
    """One difference between a data set and its manifest.

    Attributes:
        shard: path of the file.
        row_group: index in the file, None for the whole file.
        id: id of the row, None for a whole row group or file.
        reason: what was got and what was expected.
    """

    shard: str
    row_group: int | None
    id: str | None
    reason: str


@dataclass(frozen=True)
class Check:
    """A unit of verification: a shard's checksum (`row_group` None) or the rows of one row group.

    Without a shard it is the file of the foregrounds' colours.
    """

    shard: int | None
    row_group: int | None


def checks_of(dataset: Dataset) -> list[Check]:
    """List the checks of all checksums and row groups of a data set."""
    shards = [Check(index, None) for index in range(len(dataset.manifest.shards))]
    groups = [Check(shard, group) for shard, group, _ in dataset.manifest.groups()]
    colors = [Check(None, None)] if dataset.manifest.kind is RowKind.PHOTOGRAPH else []
    return [*shards, *groups, *colors]


def verify(dataset: Dataset, checks: Sequence[Check]) -> Iterator[list[Failure]]:
    """Run checks on the cluster, few in this process; yield the failures of each check, in their order."""
    small = dataset.manifest.samples <= FEW_SAMPLES
    yield from map_on_cluster(lambda check: run_check(dataset, check), checks, small=small)


def duplicate_ids(dataset: Dataset) -> list[Failure]:
    """Find ids that several rows have, or several masks of photographs, reading only the columns of ids.

    Holds all ids in memory, about 100 bytes a row. Archives are skipped: their ids begin with the archive's
    path, and indexing rejects repeated names. A shard that cannot be read is skipped: `run_check` reports it.
    """
    manifest = dataset.manifest
    if manifest.container is Container.TAR:
        return []
    columns = ["id", "foreground_ids"] if manifest.kind is RowKind.PHOTOGRAPH else ["id"]
    return [failure for column in columns for failure in _repeated(dataset, column)]


def _repeated(dataset: Dataset, name: str) -> Iterator[Failure]:
    shards = range(len(dataset.manifest.shards))
    columns = read_ahead(lambda index: _column(dataset, index, name), shards)
    tables = []
    for shard, table in enumerate(columns):
        if table is not None:
            ids = table[name] if name == "id" else pc.list_flatten(table[name])
            tables.append(pa.table({"id": ids, "shard": pa.array([shard] * len(ids), pa.int32())}))
    if not tables:
        return
    counted = pa.concat_tables(tables).group_by("id").aggregate([("shard", "list"), ("shard", "count")])
    what = "rows" if name == "id" else "masks"
    for row in counted.filter(pc.greater(counted["shard_count"], 1)).to_pylist():
        paths = [dataset.manifest.shards[index].path for index in row["shard_list"]]
        reason = f"duplicate id: {row['shard_count']} {what} have it, in {', '.join(sorted(set(paths)))}"
        yield Failure(paths[-1], None, row["id"], reason)


def _column(dataset: Dataset, shard: int, name: str) -> pa.Table | None:
    """Return a column of a shard; None where it cannot be read, which `run_check` reports."""
    try:
        return dataset.read_columns(shard, [name])
    except CharmNetError:
        return None


def run_check(dataset: Dataset, check: Check) -> list[Failure]:
    """Run one check and return its failures; a shard that cannot be read is one failure."""
    if check.shard is None:
        return _color_failures(dataset)
    path = dataset.manifest.shards[check.shard].path
    try:
        if check.row_group is None:
            return _checksum_failures(dataset, check.shard)
        return _row_failures(dataset, check.shard, check.row_group)
    except CharmNetError as error:
        return [Failure(path, check.row_group, None, str(error))]


def _color_failures(dataset: Dataset) -> list[Failure]:
    """Return what is wrong with the file of colours: it is another, or lacks those of a sample."""
    try:
        known = set(read_colors(dataset).ids)
    except CharmNetError as error:
        return [Failure(COLORS_NAME, None, None, str(error))]
    shards = range(len(dataset.manifest.shards))
    tables = read_ahead(lambda index: _column(dataset, index, "foreground_ids"), shards)
    return [
        Failure(COLORS_NAME, None, sample_id, "no colours of this sample")
        for table in tables
        for ids in ([] if table is None else table["foreground_ids"].to_pylist())
        for sample_id in ids
        if sample_id not in known
    ]


def _checksum_failures(dataset: Dataset, shard_index: int) -> list[Failure]:
    shard = dataset.manifest.shards[shard_index]
    digest = hashlib.sha256()
    size_bytes = 0
    with (dataset.location / shard.path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    reasons = []
    if size_bytes != shard.bytes:
        reasons.append(f"{size_bytes:,} bytes, the manifest says {shard.bytes:,}")
    if digest.hexdigest() != shard.sha256:
        reasons.append(f"sha256 is {digest.hexdigest()}, the manifest says {shard.sha256}")
    return [Failure(shard.path, None, None, reason) for reason in reasons]


def _row_failures(dataset: Dataset, shard_index: int, group_index: int) -> list[Failure]:
    shard = dataset.manifest.shards[shard_index]
    group = shard.row_groups[group_index]
    table = dataset.read_row_group(shard_index, group_index)
    failures = []
    expected: Counter[Stratum] = Counter()
    for index, (rows, _) in group.strata.items():
        expected[dataset.manifest.strata[index]] += rows
    if Counter(strata_of(table)) != expected:
        failures.append(Failure(shard.path, group_index, None, "strata differ from those in the manifest"))
    for row in table.to_pylist():
        try:
            _check_row(row)
        except DataError as error:
            failures.append(Failure(shard.path, group_index, row["id"], str(error)))
    return failures


def _check_row(row: Row) -> None:
    check_pictures(row)
    if row_kind(row) is RowKind.PHOTOGRAPH:
        masks = list(zip(row["foreground_ratios"], row["foreground_masks"], strict=True))
    else:
        masks = [(row["foreground_ratio"], row["foreground_mask"])]
    for stored_ratio, mask in masks:
        ratio = float(decode_mask(mask).mean())
        if ratio == 0 or abs(ratio - stored_ratio) > _RATIO_TOLERANCE:
            raise DataError(f"foreground_ratio is {stored_ratio}, the mask gives {ratio}")
