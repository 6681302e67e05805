"""The samples of a row group as they are stored: pairs, and composites made of scenes and photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from charmnet.arrays import Float32Array
from charmnet.composition import soft_style_label
from charmnet.drawn_recoloring import Recoloring
from charmnet.errors import DataError
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.ingest.decode_options import DecodeOptions
from pipelines.runtime.randomness import seeded_rng
from pipelines.shards.foreground_colors import ForegroundColors, colors_of
from pipelines.shards.reading import STRATUM_COLUMNS, Dataset
from pipelines.shards.schema import RowKind, ground_truth_conditions
from pipelines.shards.selection import Selection

_MANY_PICTURES = ("images", "photograph", "foreground_masks")  # columns of which a sample takes a part

Reference = tuple[int, int, int]
"""(shard index, row group index, offset among the row group's selected samples): one sample of a stream.

The shard index counts the shards of all members of a union, one member after the other."""


@dataclass(frozen=True)
class EncodedSample:
    """One sample as it is stored, with all choices made but the augmentation.

    Attributes:
        id: the row's id; of a scene's sample also its ground truth's condition, as in `scene:3`.
        ground_truth: encoded picture.
        foreground_mask: encoded mask.
        composite: encoded picture; None where the composite is made of `ground_truth` and of `foreground` or
            `recoloring`.
        foreground: encoded picture under the foreground's condition, of a scene.
        recoloring: recolourings of the foreground to try, of a photograph.
        composite_style: [10] probabilities of the capture conditions; None in the real domain.
        ground_truth_style: capture condition 0-9; None in the real domain.
    """

    id: str
    ground_truth: bytes
    foreground_mask: bytes
    composite: bytes | None = None
    foreground: bytes | None = None
    recoloring: Recoloring | None = None
    composite_style: Float32Array | None = None
    ground_truth_style: int | None = None


class RowGroupSamples:
    """The samples of one row group that a selection leaves, by offset.

    Args:
        dataset: the data set.
        selection: the strata that take part.
        shard_index: index of the shard in the manifest.
        group_index: index of the row group in the shard.
        ids_only: read no pictures; only `id` may be called.
        id_prefix: text that every sample's id begins with.
        colors: colours of a photograph data set's foregrounds; None reads them.

    Raises:
        DataError, StorageError: see `Dataset.read_row_group`.
    """

    def __init__(
        self,
        dataset: Dataset,
        selection: Selection,
        shard_index: int,
        group_index: int,
        *,
        ids_only: bool = False,
        id_prefix: str = "",
        colors: ForegroundColors | None = None,
    ) -> None:
        self._id_prefix = id_prefix
        self._kind = dataset.manifest.kind
        self._needs_styles = dataset.manifest.domain is Domain.RENDERED
        columns = id_columns(self._kind) if ids_only else None
        self._table: pa.Table = dataset.read_row_group(shard_index, group_index, columns)
        self._rows = dataset.selected_rows(self._table, selection)
        self._ids = sample_ids(self._table.select(id_columns(self._kind)), self._kind, self._rows)
        self._places = [
            (row, number) for row in self._rows for number in _numbers(self._table, self._kind, row)
        ]
        self._small = self._table.drop_columns(
            [name for name in self._table.column_names if name in _MANY_PICTURES]
        )
        self._colors = colors
        if colors is None and self._kind is RowKind.PHOTOGRAPH and not ids_only:
            self._colors = colors_of(dataset)

    def sample(self, offset: int, epoch: int, options: DecodeOptions) -> EncodedSample:
        """Return the sample at an offset of the plan.

        A scene's foreground condition and a photograph's recolourings are drawn here from (seed, domain,
        epoch, sample id).

        Raises:
            DataError: a rendered pair lacks the labels of its capture conditions, or there are no colours
                for a photograph's foreground.
        """
        row, number = self._places[offset]
        if self._kind is RowKind.SCENE:
            return _exchange(self._row(row), number, epoch, options)
        if self._kind is RowKind.PHOTOGRAPH:
            return self._recolored(row, number, self._ids[offset], epoch, options)
        pair = _pair(self._row(row))
        if self._needs_styles and (pair.composite_style is None or pair.ground_truth_style is None):
            raise DataError("composite_style or ground_truth_style is missing")
        return pair

    def id(self, offset: int) -> str:
        """Return the id of the sample at an offset of the plan."""
        return self._id_prefix + self._ids[offset]

    def _recolored(
        self, row: int, number: int, sample_id: str, epoch: int, options: DecodeOptions
    ) -> EncodedSample:
        """Return a photograph's sample, whose recolourings change by epoch."""
        assert self._colors is not None
        name = self._id_prefix + sample_id
        key = ("recoloring", options.seed, str(options.domain), epoch, name)
        return EncodedSample(
            id=name,
            ground_truth=self._table["photograph"][row].as_py(),
            foreground_mask=self._table["foreground_masks"][row].values[number].as_py(),
            recoloring=self._colors.recoloring(sample_id, *key),
        )

    def _row(self, row: int) -> dict[str, Any]:
        """Return a row's columns; a scene's pictures stay Arrow's, since a sample takes two of them."""
        fields: dict[str, Any] = self._small.slice(row, 1).to_pylist()[0]
        fields["id"] = self._id_prefix + fields["id"]
        if self._kind is RowKind.PAIR:
            return fields
        return fields | {"images": self._table["images"][row].values}


def id_columns(kind: RowKind) -> list[str]:
    """Return the columns from which the ids of a row group's samples follow: none of them holds pictures."""
    further = {RowKind.PAIR: [], RowKind.SCENE: ["pairs"], RowKind.PHOTOGRAPH: ["foreground_ids"]}
    return ["id", *STRATUM_COLUMNS, *further[kind]]


def sample_ids(table: pa.Table, kind: RowKind, rows: list[int]) -> list[str]:
    """Return the ids of all samples of some rows, in order, from a table that has `id_columns`."""
    picked = table.take(pa.array(rows, pa.int64()))
    ids: list[str] = picked["id"].to_pylist()
    if kind is RowKind.PAIR:
        return ids
    if kind is RowKind.PHOTOGRAPH:
        return list(chain.from_iterable(picked["foreground_ids"].to_pylist()))
    conditions = [ground_truth_conditions(pairs) for pairs in picked["pairs"].to_pylist()]
    return [
        scene_sample_id(scene, condition)
        for scene, of_scene in zip(ids, conditions, strict=True)
        for condition in of_scene
    ]


def _numbers(table: pa.Table, kind: RowKind, row: int) -> Sequence[int]:
    """Return what tells a row's samples apart: conditions of ground truths, indices of masks; 0 of a pair."""
    if kind is RowKind.SCENE:
        return ground_truth_conditions(table["pairs"][row].as_py())
    return range(len(table["foreground_ids"][row])) if kind is RowKind.PHOTOGRAPH else (0,)


def scene_sample_id(scene: str, background: int) -> str:
    """Return the id of the sample whose ground truth is a scene under this condition."""
    return f"{scene}:{background}"


def _pair(row: dict[str, Any]) -> EncodedSample:
    style = row["composite_style"]
    return EncodedSample(
        id=row["id"],
        composite=row["composite"],
        ground_truth=row["ground_truth"],
        foreground_mask=row["foreground_mask"],
        composite_style=None if style is None else np.asarray(style, dtype=np.float32),
        ground_truth_style=row["ground_truth_style"],
    )


def _exchange(row: dict[str, Any], background: int, epoch: int, options: DecodeOptions) -> EncodedSample:
    """Return a scene's composite on this ground truth; the foreground's condition changes by epoch."""
    sample_id = scene_sample_id(row["id"], background)
    labels = {
        pair["foreground"]: pair["composite_style"]
        for pair in row["pairs"] or []
        if pair["background"] == background
    }
    choices = sorted(labels) or [c for c in range(NUM_CONDITIONS) if c != background]
    rng = seeded_rng("exchange", options.seed, str(options.domain), epoch, sample_id)
    foreground = int(rng.choice(choices))
    style = labels.get(foreground)
    return EncodedSample(
        id=sample_id,
        ground_truth=row["images"][background].as_py(),
        foreground_mask=row["foreground_mask"],
        foreground=row["images"][foreground].as_py(),
        composite_style=(
            soft_style_label(foreground, background, row["foreground_ratio"])
            if style is None
            else np.asarray(style, dtype=np.float32)
        ),
        ground_truth_style=background,
    )
