"""Images to evaluate on, and their evaluation in one process, by validation and by `distributed`.

images = list(evaluation_images(dataset, selection, shard_index, group_index))
report = EvaluationReport.over(evaluate_images(method, images))
report.to_json()["all"]["harmonized"]["fmse"]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.augment import TRAINING_SIZE, MaskEdges, resize, resize_mask
from charmnet.codecs import decode_mask, decode_rgb
from charmnet.composition import exchange_foreground
from charmnet.drawn_recoloring import recolor
from charmnet.errors import DataError, WeightsError
from charmnet.methods import HarmonizationMethod
from charmnet.metrics import (
    Protocol,
    image_errors,
    reference_uint8,
    scoring_mask,
    to_uint8,
)
from charmnet.vocabulary import NUM_CONDITIONS
from pipelines.evaluation.report import ImageResult
from pipelines.shards.foreground_colors import colors_of, per_mask
from pipelines.shards.manifest import Stratum
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, row_kind, stratum_of
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection


@dataclass(frozen=True)
class EvaluationImage:
    """Composite with its ground truth, both resized to [S,S]."""

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
    """[S,S] uint8, 0 or 1, over which fMSE is measured."""

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
    """Yield the rows of one row group that a selection picks: read at once, unpacked one at a time.

    Rows of photographs get what their composites are made of: `colors`, a `ForegroundColors`, and `per_mask`,
    the number of each mask's composites.
    """
    table = dataset.read_row_group(shard_index, group_index)
    rows = (table.slice(index, 1).to_pylist()[0] for index in dataset.selected_rows(table, selection))
    if dataset.manifest.kind is not RowKind.PHOTOGRAPH:
        return rows
    more = {"colors": colors_of(dataset), "per_mask": per_mask(dataset.manifest)}
    return (row | more for row in rows)


def image_count(row: Row) -> int:
    """Return a row's number of images: one, a scene's ordered pairs, or `per_mask` of each mask."""
    if row_kind(row) is RowKind.PHOTOGRAPH:
        return len(row["foreground_ids"]) * int(row["per_mask"])
    return 1 if row_kind(row) is RowKind.PAIR else len(_ordered_pairs(row))


def row_images(
    row: Row, size: int = TRAINING_SIZE, mask_edges: MaskEdges = "hard"
) -> Iterator[EvaluationImage]:
    """Yield a row's images; for a scene all ordered pairs of conditions, or those that its list names.

    Args:
        row: row of a data set, as `selected_rows` gives it.
        size: S, in pixels.
        mask_edges: edges of the foreground mask that the network gets.

    Raises:
        DataError: a picture is broken or sizes differ; names the row.
    """
    try:
        for foreground in _foregrounds(row):
            mask = decode_mask(foreground.data)
            common: dict[str, Any] = {
                "stratum": stratum_of(row),
                "foreground_ratio": foreground.ratio,
                "foreground_mask": resize_mask(mask, size, mask_edges),
                "scoring_mask": scoring_mask(foreground.data, size),
            }
            for identity, composite, ground_truth in _full_size_images(row, foreground.id, mask):
                _require_equal_sizes(composite, ground_truth, mask)
                yield EvaluationImage(identity, resize(composite, size), resize(ground_truth, size), **common)
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


def evaluate_images(
    method: HarmonizationMethod,
    images: Sequence[EvaluationImage],
    protocol: Protocol = Protocol.STANDARD,
    device: torch.device | str = "cpu",
) -> list[ImageResult]:
    """Harmonize a batch and measure its errors.

    Args:
        method: method to evaluate.
        images: one batch, all of one size.
        protocol: see `charmnet.metrics.Protocol`.
        device: device of the method.

    Raises:
        WeightsError: an output holds NaN or infinite values; names the images.
    """
    output = method.harmonize(*network_inputs(method, images, device))
    _require_finite(output, [image.id for image in images])
    pixels = to_uint8(output, protocol, method.requirements.value_range)
    results = []
    for image, harmonized in zip(images, pixels, strict=True):
        composite = reference_uint8(image.composite[None], protocol)[0]
        ground_truth = reference_uint8(image.ground_truth[None], protocol)[0]
        results.append(
            ImageResult(
                id=image.id,
                stratum=image.stratum,
                foreground_ratio=image.foreground_ratio,
                composite=image_errors(composite, ground_truth, image.scoring_mask, protocol),
                harmonized=image_errors(harmonized, ground_truth, image.scoring_mask, protocol),
            )
        )
    return results


def network_inputs(
    method: HarmonizationMethod, images: Sequence[EvaluationImage], device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return composites [B,3,S,S] and foreground masks [B,1,S,S] as the method takes them, on a device."""
    composite = torch.from_numpy(np.stack([image.composite for image in images]))
    mask = torch.from_numpy(np.stack([image.foreground_mask for image in images]))
    return method.network_inputs(composite, mask, device)


def _require_equal_sizes(composite: UInt8Array, ground_truth: UInt8Array, mask: MaskArray) -> None:
    if not composite.shape == ground_truth.shape == (*mask.shape, 3):
        raise DataError(f"sizes differ: {composite.shape}, {ground_truth.shape} and {mask.shape}")


def _require_finite(output: Tensor, ids: Sequence[str]) -> None:
    """Refuse NaN and infinite values, which rounding to uint8 would turn into ordinary black pixels."""
    smallest = output.amin((1, 2, 3))  # NaN if there is any
    largest = output.amax((1, 2, 3))
    finite = (smallest.isfinite() & largest.isfinite()).tolist()
    bad = [identity for identity, good in zip(ids, finite, strict=True) if not good]
    if bad:
        raise WeightsError(
            f"the model's output for {', '.join(bad)} holds NaN or infinite values: its weights are damaged, "
            "or its training diverged; choose another checkpoint"
        )


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
        coverage = mask * np.uint8(255)
        for variant in range(1, row["per_mask"] + 1):
            recoloring = row["colors"].evaluated(foreground, variant)
            yield f"{foreground}:{variant}", recolor(photograph, coverage, recoloring), photograph
        return
    if row_kind(row) is RowKind.PAIR:
        yield row["id"], decode_rgb(row["composite"]), decode_rgb(row["ground_truth"])
        return
    photographs = [decode_rgb(data) for data in row["images"]]
    for background, inserted in _ordered_pairs(row):
        composite = exchange_foreground(photographs[inserted], photographs[background], mask)
        yield f"{row['id']}:{background}:{inserted}", composite, photographs[background]
