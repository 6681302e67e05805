"""Images to evaluate on.

images = list(evaluation_images(dataset, selection, shard_index, group_index))
report = EvaluationReport.over(evaluate_images(method, images))
report.to_json()["all"]["harmonized"]["fmse"]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.augment import TRAINING_SIZE, MaskEdges, resize, resize_mask
from charmnet.codecs import decode_mask, decode_rgb
from charmnet.composition import exchange_foreground
from charmnet.errors import DataError
from charmnet.metrics import Protocol, scoring_mask
from charmnet.vocabulary import NUM_CONDITIONS
from pipelines.shards.foreground_colors import evaluated_composite, with_colors
from pipelines.shards.manifest import Stratum
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, row_kind, stratum_of
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection


@dataclass(frozen=True)
class EvaluationImage:
    """Composite with its ground truth, both resized to [S,S] or of their own size [H,W]."""

    id: str
    """Id of the row; for a scene's composites `<id>:<background condition>:<foreground condition>`, for those
    of a photograph's masks `<id of the mask's sample>:<number from 1>`."""

    composite: UInt8Array
    """[S,S,3] uint8 RGB."""

    ground_truth: UInt8Array
    """[S,S,3] uint8 RGB."""

    foreground_mask: MaskArray
    """[S,S] uint8 as the network takes it: 0 or 1, or with soft edges 0 to 255."""

    scoring_mask: MaskArray
    """[S,S] uint8 that errors are counted on: see `charmnet.metrics.scoring_mask`."""

    stratum: Stratum
    """Domain, subset, category and splits of the row."""

    foreground_ratio: float
    """Share of the stored picture's area that is foreground, 0 to 1."""


def evaluation_images(
    dataset: Dataset, selection: Selection, shard_index: int, group_index: int, size: int = TRAINING_SIZE
) -> Iterator[EvaluationImage]:
    """Yield the images of one row group that a selection picks, in file order; see `row_images`."""
    for row in selected_rows(dataset, selection, shard_index, group_index):
        yield from row_images(row, size)


def selected_rows(
    dataset: Dataset, selection: Selection, shard_index: int, group_index: int
) -> Iterator[Row]:
    """Yield the rows of one row group that a selection picks, as `with_colors` gives them.

    They are read at once and unpacked one at a time.
    """
    table = dataset.read_row_group(shard_index, group_index)
    indices = dataset.selected_rows(table, selection)
    return (with_colors(dataset, table.slice(index, 1).to_pylist()[0]) for index in indices)


def image_count(row: Row) -> int:
    """Return a row's number of images: one, a scene's ordered pairs, or `per_mask` of each mask."""
    if row_kind(row) is RowKind.PHOTOGRAPH:
        return len(row["foreground_ids"]) * int(row["per_mask"])
    return 1 if row_kind(row) is RowKind.PAIR else len(_ordered_pairs(row))


def row_images(
    row: Row,
    size: int | None = TRAINING_SIZE,
    mask_edges: MaskEdges = "hard",
    protocol: Protocol = Protocol.STANDARD,
) -> Iterator[EvaluationImage]:
    """Yield a row's images; for a scene all ordered pairs of conditions, or those that its list names.

    Args:
        row: row of a data set, as `selected_rows` gives it.
        size: S, in pixels; None leaves pictures and masks as large as they are.
        mask_edges: edges of the foreground mask that the network gets.
        protocol: the rules to score by.

    Raises:
        DataError: a picture is broken or sizes differ; names the row.
    """
    try:
        for foreground in _foregrounds(row):
            mask = decode_mask(foreground.data)
            common: dict[str, Any] = {
                "stratum": stratum_of(row),
                "foreground_ratio": foreground.ratio,
                "foreground_mask": mask if size is None else resize_mask(mask, size, mask_edges),
                "scoring_mask": scoring_mask(foreground.data, size, protocol),
            }
            for identity, *pictures in _full_size_images(row, foreground.id, mask):
                _require_equal_sizes(pictures, mask)
                composite, ground_truth = (
                    picture if size is None else resize(picture, size) for picture in pictures
                )
                yield EvaluationImage(identity, composite, ground_truth, **common)
    except (DataError, ValueError) as error:
        raise DataError(f"{row['id']}: {error}") from error


def row_pictures(row: Row, size: int = TRAINING_SIZE) -> Iterator[UInt8Array]:
    """Yield a row's ground truths, of a scene one for each capture condition, as [S,S,3] uint8.

    Raises:
        DataError: a picture is broken; names the row.
    """
    try:
        roles = {RowKind.PAIR: "ground_truth", RowKind.SCENE: "images", RowKind.PHOTOGRAPH: "photograph"}
        pictures = row[roles[row_kind(row)]]
        for data in pictures if isinstance(pictures, list) else [pictures]:
            yield resize(decode_rgb(data), size)
    except (DataError, ValueError) as error:
        raise DataError(f"{row['id']}: {error}") from error


def _require_equal_sizes(pictures: Sequence[UInt8Array], mask: MaskArray) -> None:
    if any(picture.shape != (*mask.shape, 3) for picture in pictures):
        shapes = ", ".join(str(picture.shape) for picture in pictures)
        raise DataError(f"sizes differ: {shapes} and {mask.shape}")


def _ordered_pairs(row: Row) -> list[tuple[int, int]]:
    """Return (background, foreground) conditions of a scene's composites, ascending."""
    if row["pairs"] is None:
        return list(permutations(range(NUM_CONDITIONS), 2))
    return sorted((pair["background"], pair["foreground"]) for pair in row["pairs"])


@dataclass(frozen=True)
class _Foreground:
    """A mask of a row: id of its sample, encoded mask, and its share of the picture's area."""

    id: str
    data: bytes
    ratio: float


def _foregrounds(row: Row) -> Iterator[_Foreground]:
    if row_kind(row) is RowKind.PHOTOGRAPH:
        columns = (row["foreground_ids"], row["foreground_masks"], row["foreground_ratios"])
        yield from map(_Foreground, *columns)
    else:
        yield _Foreground(row["id"], row["foreground_mask"], row["foreground_ratio"])


def _full_size_images(
    row: Row, foreground: str, mask: MaskArray
) -> Iterator[tuple[str, UInt8Array, UInt8Array]]:
    """Yield (id, composite, ground truth) of each image of one of a row's masks at their stored size."""
    if row_kind(row) is RowKind.PHOTOGRAPH:
        photograph = decode_rgb(row["photograph"])
        for variant in range(1, row["per_mask"] + 1):
            composite = evaluated_composite(row, foreground, variant, photograph, mask)
            yield f"{foreground}:{variant}", composite, photograph
        return
    if row_kind(row) is RowKind.PAIR:
        yield row["id"], decode_rgb(row["composite"]), decode_rgb(row["ground_truth"])
        return
    photographs = [decode_rgb(data) for data in row["images"]]
    for background, inserted in _ordered_pairs(row):
        composite = exchange_foreground(photographs[inserted], photographs[background], mask)
        yield f"{row['id']}:{background}:{inserted}", composite, photographs[background]
