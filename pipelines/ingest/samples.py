"""Turning a reference of the plan into pictures: which row, which exchange, which crop.

Everything random about a sample is drawn from (seed, domain, epoch, sample id), so it does not matter where
or when the sample is made, or how often.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal

import cv2
import numpy as np
import pyarrow as pa

from charmnet.arrays import Float32Array, MaskArray, UInt8Array
from charmnet.augment import Augmentation, draw_augmentation, finish
from charmnet.codecs import decode_mask, decode_rgb
from charmnet.composition import exchange_foreground, soft_style_label
from charmnet.errors import DataError
from charmnet.jpeg import is_jpeg
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.runtime.randomness import seeded_rng
from pipelines.shards.reading import STRATUM_COLUMNS, Dataset
from pipelines.shards.schema import RowKind, ground_truth_conditions
from pipelines.shards.selection import Selection

Decoding = Literal["exact", "fast"]


@dataclass(frozen=True)
class EncodedSample:
    """One sample as it is stored, all choices but the crop made.

    Attributes:
        id: the row's, and for a scene also its ground truth's condition: `scene:3`.
        composite: encoded; None where it is the exchange of `foreground` into `ground_truth`.
        composite_style: [10] or None. ground_truth_style: 0-9 or None (real domain).
    """

    id: str
    ground_truth: bytes
    foreground_mask: bytes
    composite: bytes | None = None
    foreground: bytes | None = None
    composite_style: Float32Array | None = None
    ground_truth_style: int | None = None


@dataclass(frozen=True)
class Sample:
    """One sample at the training size.

    Attributes:
        composite, ground_truth: [S,S,3] uint8. foreground_mask: [S,S] uint8, 1 = foreground.
    """

    id: str
    composite: UInt8Array
    ground_truth: UInt8Array
    foreground_mask: MaskArray
    composite_style: Float32Array | None
    ground_truth_style: int | None


class SampleError(DataError):
    """A sample cannot be decoded, for a reason that does not name it again."""

    def __init__(self, sample_id: str, domain: Domain, reason: str) -> None:
        super().__init__(f"sample {sample_id!r} ({domain} domain): {reason}")
        self.reason = reason


class RowGroupSamples:
    """The samples of one row group that a selection leaves, by offset.

    Args:
        ids_only: read no pictures; only `id` can be asked for.

    Raises:
        DataError, StorageError: as `Dataset.read_row_group`.
    """

    def __init__(
        self,
        dataset: Dataset,
        selection: Selection,
        shard_index: int,
        group_index: int,
        ids_only: bool = False,
    ) -> None:
        self.kind = dataset.manifest.kind
        columns = id_columns(self.kind) if ids_only else None
        self.table: pa.Table = dataset.read_row_group(shard_index, group_index, columns)
        self.rows = dataset.selected_rows(self.table, selection)
        if self.kind is RowKind.SCENE:
            conditions = [ground_truth_conditions(self.table["pairs"][row].as_py()) for row in self.rows]
            self.conditions = conditions
            self.ends = list(accumulate(len(c) for c in conditions))
        self.small = self.table.drop_columns([name for name in self.table.column_names if name == "images"])

    def sample(self, offset: int, seed: int, domain: Domain, epoch: int) -> EncodedSample:
        """The sample at an offset of the plan; a scene's foreground condition is drawn here."""
        if self.kind is RowKind.PAIR:
            return _pair(self._row(self.rows[offset]))
        index, background = self._scene(offset)
        return _exchange(self._row(self.rows[index]), background, seed, domain, epoch)

    def id(self, offset: int) -> str:
        """The id of the sample at an offset of the plan."""
        if self.kind is RowKind.PAIR:
            return str(self.table["id"][self.rows[offset]].as_py())
        index, background = self._scene(offset)
        return scene_sample_id(self.table["id"][self.rows[index]].as_py(), background)

    def _scene(self, offset: int) -> tuple[int, int]:
        """(index among the selected rows, condition of the ground truth)."""
        index = bisect_right(self.ends, offset)
        first = self.ends[index - 1] if index else 0
        return index, self.conditions[index][offset - first]

    def _row(self, row: int) -> dict[str, Any]:
        """Its columns; a scene's pictures stay Arrow's, of which a sample takes two."""
        fields: dict[str, Any] = self.small.slice(row, 1).to_pylist()[0]
        return fields if self.kind is RowKind.PAIR else fields | {"images": self.table["images"][row].values}


def id_columns(kind: RowKind) -> list[str]:
    """What is read to know the ids of a row group's samples, and no picture."""
    return ["id", *STRATUM_COLUMNS, *(["pairs"] if kind is RowKind.SCENE else [])]


def sample_ids(table: pa.Table, kind: RowKind, rows: list[int]) -> list[str]:
    """Of all samples of some rows, in their order; the table has `id_columns`."""
    picked = table.take(pa.array(rows, pa.int64()))
    ids: list[str] = picked["id"].to_pylist()
    if kind is RowKind.PAIR:
        return ids
    conditions = [ground_truth_conditions(pairs) for pairs in picked["pairs"].to_pylist()]
    return [scene_sample_id(scene, c) for scene, mine in zip(ids, conditions, strict=True) for c in mine]


def scene_sample_id(scene: str, background: int) -> str:
    """Of a scene's sample with this ground truth."""
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


def _exchange(row: dict[str, Any], background: int, seed: int, domain: Domain, epoch: int) -> EncodedSample:
    """A scene's composite with this ground truth; the foreground's condition is drawn anew every epoch."""
    sample_id = scene_sample_id(row["id"], background)
    labels = {
        pair["foreground"]: pair["composite_style"]
        for pair in row["pairs"] or []
        if pair["background"] == background
    }
    choices = sorted(labels) or [c for c in range(NUM_CONDITIONS) if c != background]
    foreground = int(seeded_rng("exchange", seed, str(domain), epoch, sample_id).choice(choices))
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


def decode(
    sample: EncodedSample, seed: int, domain: Domain, epoch: int, size: int, decoding: Decoding = "exact"
) -> Sample:
    """Decodes, composes and augments one sample.

    Args:
        decoding: `exact`, or `fast`: JPEGs are decoded at a half, a quarter or an eighth where the crop still
            has `size` pixels then. Crop and flip are drawn alike.

    Raises:
        SampleError: a picture is broken, the sizes differ or a label is none; names the sample.
    """
    try:
        _check_labels(sample)
        mask = (_scene_mask if sample.composite is None else decode_mask)(sample.foreground_mask)
        augmentation = draw_augmentation(
            seeded_rng("augment", seed, str(domain), epoch, sample.id), mask, size
        )
        composite, ground_truth, mask = _crops(sample, mask, augmentation, size, decoding)
    except (DataError, ValueError) as error:
        raise SampleError(sample.id, domain, str(error)) from error
    return Sample(
        sample.id,
        finish(augmentation, composite, size),
        finish(augmentation, ground_truth, size),
        finish(augmentation, mask, size),
        sample.composite_style,
        sample.ground_truth_style,
    )


def _crops(
    sample: EncodedSample, mask: MaskArray, augmentation: Augmentation, size: int, decoding: Decoding
) -> tuple[UInt8Array, UInt8Array, UInt8Array]:
    """Composite, ground truth and mask in the crop, still to be resized; the mask is never reduced."""
    pictures = sample.composite or sample.foreground or b"", sample.ground_truth
    reduction = augmentation.reduction(size) if decoding == "fast" and all(map(is_jpeg, pictures)) else 1
    other, ground_truth = (decode_rgb(picture, reduction=reduction) for picture in pictures)
    height, width = (-(-side // reduction) for side in mask.shape)
    if not other.shape[:2] == ground_truth.shape[:2] == (height, width):
        raise DataError(f"sizes differ: {other.shape}, {ground_truth.shape}, {mask.shape}")
    crop = augmentation.reduced(reduction, height, width)
    other, ground_truth = crop.crop(other), crop.crop(ground_truth)
    mask = crop.enlarged(reduction).crop(mask)
    if sample.composite is not None:
        return other, ground_truth, mask
    # The exchange moves no pixel, so it is made in the crop alone.
    fitting = cv2.resize(mask, (crop.width, crop.height), interpolation=cv2.INTER_NEAREST)
    exchange_foreground(other, ground_truth, fitting.astype(np.uint8, copy=False), in_place=True)
    return other, ground_truth, mask


def _scene_mask(data: bytes) -> MaskArray:
    """`decode_mask`, which of a scene's ten samples one task mostly needs several times."""
    (height, width), bits = _packed_mask(data)
    return np.unpackbits(bits, count=height * width).reshape(height, width)


@lru_cache(maxsize=32)
def _packed_mask(data: bytes) -> tuple[tuple[int, int], UInt8Array]:
    """A mask's height and width, and its pixels as bits."""
    mask = decode_mask(data)
    return mask.shape, np.packbits(mask)


def _check_labels(sample: EncodedSample) -> None:
    style, condition = sample.composite_style, sample.ground_truth_style
    if style is not None and not (style.shape == (NUM_CONDITIONS,) and np.isfinite(style).all()):
        raise DataError(f"composite_style is {style}, expected {NUM_CONDITIONS} numbers")
    if condition is not None and not 0 <= condition < NUM_CONDITIONS:
        raise DataError(f"ground_truth_style is {condition}, expected 0 to {NUM_CONDITIONS - 1}")
