"""Images to evaluate on.

rows = selected_rows(dataset, selection, shard_index, group_index)
images = [image for row in rows for image in row_images(row)]
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
from pipelines.evaluation.photographs import photograph_of
from pipelines.shards.foreground_colors import evaluated_composite, per_mask, with_colors
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.rows import Row, row_kind, stratum_of
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection
from pipelines.shards.stratum import Stratum

RowGroupKey = tuple[int, int]
"""Index of a shard, and of a row group in it."""


@dataclass(frozen=True)
class EvaluationImage:
    """Composite with its ground truth, both resized to [S,S] or of their own size [H,W]."""

    id: str
    """Id of the row; for a scene's composites `<id>:<background condition>:<foreground condition>`, for those
    of a photograph's masks `<id of the mask's sample>:<number from 1>`."""

    photograph: str
    """Name of the photograph, or of the rendered scene, that it is made of."""

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


def selected_groups(dataset: Dataset, selection: Selection) -> list[RowGroupKey]:
    """List the row groups that hold images which a selection picks.

    Raises:
        ValueError: it picks none.
    """
    groups = [
        (shard, index)
        for shard, index, group in dataset.manifest.groups()
        if selected_counts(dataset.manifest, group, selection)[0]
    ]
    if not groups:
        raise ValueError(
            f"--select {selection.expression!r} picks no image of {dataset.location}; it has "
            f"{dataset.manifest.selectable_names()}"
        )
    return groups


def selected_image_count(dataset: Dataset, selection: Selection) -> int | None:
    """Count the selected images; None for scenes, as lists may name a part of their pairs."""
    if dataset.manifest.kind is RowKind.SCENE:
        return None
    return per_mask(dataset.manifest) * sum(
        selected_counts(dataset.manifest, group, selection)[1] for _, _, group in dataset.manifest.groups()
    )


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
        pictures = _ground_truths(row)
        ground_truths = [_resized(picture, size) for picture in pictures]
        for foreground in _foregrounds(row):
            mask = decode_mask(foreground.data)
            common: dict[str, Any] = {
                "stratum": stratum_of(row),
                "foreground_ratio": foreground.ratio,
                "foreground_mask": mask if size is None else resize_mask(mask, size, mask_edges),
                "scoring_mask": scoring_mask(foreground.data, size, protocol),
            }
            _require_equal_sizes(pictures, mask)
            for identity, composite, number in _composites(row, foreground.id, pictures, mask):
                _require_equal_sizes([composite], mask)
                yield EvaluationImage(
                    identity,
                    foreground.photograph or photograph_of(identity, common["stratum"].domain),
                    _resized(composite, size),
                    ground_truths[number],
                    **common,
                )
    except (DataError, ValueError) as error:
        raise DataError(f"{row['id']}: {error}") from error


def row_pictures(row: Row, size: int = TRAINING_SIZE) -> Iterator[UInt8Array]:
    """Yield a row's ground truths, of a scene one for each capture condition, as [S,S,3] uint8.

    Raises:
        DataError: a picture is broken; names the row.
    """
    try:
        for picture in _ground_truths(row):
            yield resize(picture, size)
    except (DataError, ValueError) as error:
        raise DataError(f"{row['id']}: {error}") from error


def _ground_truths(row: Row) -> list[UInt8Array]:
    """Return a row's ground truths at their stored size, of a scene one for each capture condition."""
    roles = {RowKind.PAIR: "ground_truth", RowKind.SCENE: "images", RowKind.PHOTOGRAPH: "photograph"}
    pictures = row[roles[row_kind(row)]]
    return [decode_rgb(data) for data in (pictures if isinstance(pictures, list) else [pictures])]


def _resized(picture: UInt8Array, size: int | None) -> UInt8Array:
    return picture if size is None else resize(picture, size)


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
    """A mask of a row.

    Attributes:
        id: id of its sample.
        data: the encoded mask.
        ratio: its share of the picture's area.
        photograph: its photograph, where the data set knows it.
    """

    id: str
    data: bytes
    ratio: float
    photograph: str | None = None


def _foregrounds(row: Row) -> Iterator[_Foreground]:
    if row_kind(row) is RowKind.PHOTOGRAPH:
        columns = (row["foreground_ids"], row["foreground_masks"], row["foreground_ratios"])
        photographs = map(row["colors"].photograph, row["foreground_ids"])
        yield from map(_Foreground, *columns, photographs)
    else:
        yield _Foreground(row["id"], row["foreground_mask"], row["foreground_ratio"])


def _composites(
    row: Row, foreground: str, pictures: Sequence[UInt8Array], mask: MaskArray
) -> Iterator[tuple[str, UInt8Array, int]]:
    """Yield (id, composite, number of its ground truth) of each image of one of a row's masks.

    Args:
        row: see `row_images`.
        foreground: id of the mask's sample.
        pictures: the row's `_ground_truths`, which composites are made of.
        mask: the mask.
    """
    if row_kind(row) is RowKind.PHOTOGRAPH:
        for variant in range(1, row["per_mask"] + 1):
            composite = evaluated_composite(row, foreground, variant, pictures[0], mask)
            yield f"{foreground}:{variant}", composite, 0
        return
    if row_kind(row) is RowKind.PAIR:
        yield row["id"], decode_rgb(row["composite"]), 0
        return
    for background, inserted in _ordered_pairs(row):
        composite = exchange_foreground(pictures[inserted], pictures[background], mask)
        yield f"{row['id']}:{background}:{inserted}", composite, background
