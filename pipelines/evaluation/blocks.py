"""Blocks of images: decoded from row groups, scored, and read as results.

Errors are values here: all that cannot be evaluated is named together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, fields
from itertools import islice
from typing import Any

import numpy as np
import torch

from charmnet.arrays import Float64Array
from charmnet.augment import TRAINING_SIZE, MaskEdges
from charmnet.errors import CharmNetError, DataError, WeightsError
from charmnet.methods import HarmonizationMethod
from charmnet.metrics import ImageErrors
from charmnet.vocabulary import Domain
from pipelines.evaluation.images import (
    EvaluationImage,
    RowGroupKey,
    image_count,
    row_images,
    selected_rows,
)
from pipelines.evaluation.report import ImageResult
from pipelines.evaluation.scoring import Scoring, evaluate_images
from pipelines.evaluation.tricks import TRICKS
from pipelines.runtime.blocks import Block
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.shards.stratum import Stratum

_BATCH_SIZE = 8  # images that the network harmonizes at once
_BLOCK_BATCHES = 4

_PICTURES = ("composite", "ground_truth", "foreground_mask", "scoring_mask")
_IMAGES = ("composite", "harmonized", *TRICKS)  # in the order of `ImageResult.errors`
_FIGURES = tuple(field.name for field in fields(ImageErrors))
_PIXELS = np.zeros((TRAINING_SIZE, TRAINING_SIZE, 3), np.uint8)
_BLANK = EvaluationImage(
    id="",
    photograph="",
    composite=_PIXELS,
    ground_truth=_PIXELS,
    foreground_mask=_PIXELS[..., 0],
    scoring_mask=_PIXELS[..., 0],
    stratum=Stratum(Domain.REAL, "", None, ()),
    foreground_ratio=0.0,
)


def decoded_blocks(
    dataset: Dataset,
    selection: Selection,
    scoring: Scoring,
    mask_edges: MaskEdges,
    groups: Iterable[RowGroupKey],
) -> Iterator[Block]:
    """Yield the images of row groups that a selection picks, as blocks of a few batches.

    A row that cannot be read is an image with its problem.

    Args:
        dataset: data set with the images.
        selection: images to yield.
        scoring: rules that they will be scored by.
        mask_edges: edges of the masks that the network gets.
        groups: row groups, in this order.
    """
    images_at_once = _BLOCK_BATCHES * _BATCH_SIZE if scoring.by_network else 1  # others differ in size
    for group in groups:
        yield from _joined(_decoded_images(dataset, selection, group, mask_edges, scoring), images_at_once)


def _joined(blocks: Iterator[Block], images_at_once: int) -> Iterator[Block]:
    """Join blocks of one image into larger ones."""
    while parts := list(islice(blocks, images_at_once)):
        yield {name: np.concatenate([block[name] for block in parts]) for name in parts[0]}


def _decoded_images(
    dataset: Dataset, selection: Selection, group: RowGroupKey, mask_edges: MaskEdges, scoring: Scoring
) -> Iterator[Block]:
    """Yield a row group's images, a block each; for a row that cannot be read, a block with its problem."""
    try:
        shard_index, group_index = group
        rows = list(selected_rows(dataset, selection, shard_index, group_index))
    except CharmNetError as error:
        yield _block(_BLANK, group, 1, problem=str(error))
        return
    images = sum(map(image_count, rows))
    for row in rows:
        try:
            for image in row_images(row, scoring.size, mask_edges, scoring.protocol):
                yield _block(image, group, images)
        except DataError as error:
            yield _block(_BLANK, group, images, problem=str(error))


def scored_block(
    method: HarmonizationMethod, images: Block, scoring: Scoring, device: torch.device | str
) -> Block:
    """Return a block's labels, and its errors in place of its pictures; problems stay as they are."""
    rows = list(block_rows(images))
    errors = np.full((len(rows), len(_IMAGES), len(_FIGURES)), np.nan)
    problems = [str(row["problem"]) for row in rows]
    readable = [index for index, problem in enumerate(problems) if not problem]
    for start in range(0, len(readable), _BATCH_SIZE):
        batch = readable[start : start + _BATCH_SIZE]
        try:
            scored = [_image(rows[index]) for index in batch]
            results = evaluate_images(method, scored, scoring, device)
        except WeightsError as error:
            for index in batch:
                problems[index] = str(error)
            continue
        for index, result in zip(batch, results, strict=True):
            named = list(map(astuple, result.errors.values()))
            errors[index, : len(named)] = np.array(named, np.float64)  # None becomes NaN
    labels = {name: values for name, values in images.items() if name not in _PICTURES}
    return labels | {"problem": np.array(problems), "errors": errors}


def _block(image: EvaluationImage, group: RowGroupKey, group_images: int, problem: str = "") -> Block:
    stratum = image.stratum
    labels = {
        "id": image.id,
        "photograph": image.photograph,
        "stratum": json.dumps([stratum.domain, stratum.subset, stratum.category, stratum.splits]),
        "foreground_ratio": image.foreground_ratio,
        "shard": group[0],
        "group": group[1],
        "group_images": group_images,
        "problem": problem,
    }
    pictures = {name: getattr(image, name)[None] for name in _PICTURES}
    return {name: np.array([value]) for name, value in labels.items()} | pictures


def block_rows(block: Block) -> Iterator[dict[str, Any]]:
    """Yield a block's images, as values by name."""
    for index in range(len(block["id"])):
        yield {name: values[index] for name, values in block.items()}


def _labels(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that `EvaluationImage` and `ImageResult` have in common."""
    domain, subset, category, splits = json.loads(row["stratum"])
    return {
        "id": str(row["id"]),
        "photograph": str(row["photograph"]),
        "stratum": Stratum(Domain(domain), subset, category, tuple(splits)),
        "foreground_ratio": float(row["foreground_ratio"]),
    }


def _image(row: Mapping[str, Any]) -> EvaluationImage:
    return EvaluationImage(**_labels(row), **{name: row[name] for name in _PICTURES})


def block_result(row: Mapping[str, Any]) -> ImageResult:
    """Return the result that an image of a scored block stands for."""
    measured = {
        name: _errors(values)
        for name, values in zip(_IMAGES, row["errors"], strict=True)
        if not np.isnan(values[0])
    }
    composite, harmonized = measured.pop("composite"), measured.pop("harmonized")
    return ImageResult(**_labels(row), composite=composite, harmonized=harmonized, tricks=measured)


def _errors(values: Float64Array) -> ImageErrors:
    mse, *others = values.tolist()
    return ImageErrors(mse, *(None if np.isnan(value) else value for value in others))
