"""Entries of a released layout, and reading them as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from charmnet.codecs import decode_mask, encode_mask
from charmnet.errors import DataError
from charmnet.vocabulary import NUM_CONDITIONS
from pipelines.conversion.remarks import picture_remarks
from pipelines.runtime.randomness import hash_order
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import MissingError
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import PictureError, Row, bytes_of, check_pictures, pair_row, scene_row, shrink
from pipelines.shards.schema import ROW_GROUP_BYTES, RowKind
from pipelines.shards.stratum import Stratum

_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG")


@dataclass(frozen=True)
class LayoutEntry:
    """The files and labels of a released layout that become one row.

    Attributes:
        id: id of the row.
        stratum: stratum of the row.
        files: path beneath the source, by role (see `rows.PictureError`).
        labels: the remaining arguments of `rows.pair_row` or `rows.scene_row`.
        items: number of requested items (listed pictures or pairs) that the row represents.
    """

    id: str
    stratum: Stratum
    files: dict[str, str]
    labels: dict[str, Any] = field(default_factory=dict)
    items: int = 1


def reject_duplicates(entries: Iterable[LayoutEntry]) -> tuple[list[LayoutEntry], list[Rejection]]:
    """Keep the first entry of each id and reject the others."""
    kept: dict[str, LayoutEntry] = {}
    rejected = []
    for entry in entries:
        first = kept.setdefault(entry.id, entry)
        if first is not entry:
            file, first_file = (next(iter(e.files.values())) for e in (entry, first))
            reason = f"duplicate id {entry.id}: {first_file} has it already"
            rejected.append(Rejection(entry.id, file, reason, entry.items))
    return list(kept.values()), rejected


def entries_in_shards(
    entries: Sequence[LayoutEntry], kind: RowKind, shard_samples: int
) -> list[tuple[LayoutEntry, ...]]:
    """Divide entries into shards, each of one combination of splits, in an order that mixes neighbours.

    Args:
        entries: entries of one kind.
        kind: their kind.
        shard_samples: about how many samples a shard holds; see `samples_of_entry`.
    """
    size = max(1, shard_samples // samples_of_entry(kind))
    by_splits: dict[tuple[str, ...], list[LayoutEntry]] = {}
    for entry in entries:
        by_splits.setdefault(entry.stratum.splits, []).append(entry)
    ordered = [group[index] for group in by_splits.values() for index in hash_order([e.id for e in group])]
    return [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def samples_of_entry(kind: RowKind) -> int:
    """Return how many samples an entry counts as: a scene has one for each condition."""
    return NUM_CONDITIONS if kind is RowKind.SCENE else 1


def read_entry(
    source: Location,
    entry: LayoutEntry,
    longest_side: int | None,
    keep_mask: bool = False,
    remarks: list[str] | None = None,
) -> Row | Rejection:
    """Fetch the files of an entry and return its row (see `prepare_row`), or the reason for rejecting it.

    Raises:
        StorageError: the store does not answer. (A missing file gives a `Rejection`.)
    """
    try:
        pictures = {role: _read_file(source, role, path) for role, path in entry.files.items()}
        build = pair_row if "composite" in entry.files else scene_row
        row = build(entry.id, entry.stratum, pictures, **entry.labels)
        return prepare_row(row, longest_side, keep_mask, remarks)
    except DataError as error:
        role = error.role if isinstance(error, PictureError) else next(iter(entry.files))
        file = entry.files.get(role, f"{entry.id} (no file)")
        return Rejection(entry.id, file, str(error), entry.items)


def prepare_row(
    row: Row, longest_side: int | None, keep_mask: bool = False, remarks: list[str] | None = None
) -> Row:
    """Check a new row in full and return it as it is stored: shrunk if requested, its mask with 1-bit pixels.

    Args:
        row: row as built.
        longest_side: limit for the longer side of the pictures in pixels; None for no limit.
        keep_mask: leave the mask's file as it is, with its grey values.
        remarks: receives what is dropped of the row's pictures without a loss that would reject it.

    Raises:
        DataError: a picture is broken, or the row does not fit into a row group.
    """
    check_pictures(row)
    found = picture_remarks(row)
    if remarks is not None:
        remarks += found
    row = row if longest_side is None else shrink(row, longest_side)
    # Decoding a large mask with 8-bit pixels takes longer than decoding both photographs.
    if not keep_mask:
        row = {**row, "foreground_mask": encode_mask(decode_mask(row["foreground_mask"]))}
    check_size(row)
    return row


def check_size(row: Row) -> None:
    """Check that a row fits into a row group.

    Raises:
        DataError: it does not.
    """
    if bytes_of(row) > ROW_GROUP_BYTES:
        raise DataError(
            f"{bytes_of(row):,} bytes, a row group holds at most {ROW_GROUP_BYTES:,}; use --max-size"
        )


def _read_file(source: Location, role: str, path: str) -> bytes:
    """Read a picture at its expected path, or else at the same with another of the usual suffixes."""
    stem = path.removesuffix(PurePosixPath(path).suffix)
    for candidate in dict.fromkeys((path, *(f"{stem}{suffix}" for suffix in _SUFFIXES))):
        with suppress(MissingError):
            return (source / candidate).read_bytes()
    others = ", ".join(_SUFFIXES)
    raise PictureError(role, f"missing: no file {path}, nor one of that name that ends in {others}")
