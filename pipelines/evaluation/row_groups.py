"""Images of row groups in parts of a few batches: decoded, then scored.

Errors are values here: all that cannot be evaluated is named together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import torch

from charmnet.augment import MaskEdges
from charmnet.errors import CharmNetError, DataError, WeightsError
from charmnet.methods import HarmonizationMethod
from pipelines.evaluation.images import (
    EvaluationImage,
    RowGroupKey,
    image_count,
    row_images,
    selected_rows,
)
from pipelines.evaluation.report import ImageResult
from pipelines.evaluation.scoring import Scoring, evaluate_images
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.shards.selection import Selection

T = TypeVar("T")

_BATCH_SIZE = 8  # images that the network harmonizes at once
_PART_BATCHES = 4


@dataclass(frozen=True)
class GroupPart(Generic[T]):
    """Some images of a row group, or their results.

    Attributes:
        group: the row group.
        group_images: number of images of the whole row group.
        entries: images or results, in the order of the rows; a text says why there is none.
    """

    group: RowGroupKey
    group_images: int
    entries: Sequence[T | str]


def decoded_parts(
    dataset: Dataset,
    selection: Selection,
    scoring: Scoring,
    mask_edges: MaskEdges,
    groups: Iterable[RowGroupKey],
) -> Iterator[GroupPart[EvaluationImage]]:
    """Decode the images of row groups that a selection picks.

    Args:
        dataset: data set with the images.
        selection: images to yield.
        scoring: rules that they will be scored by.
        mask_edges: edges of the masks that the network gets.
        groups: row groups, in this order.
    """
    images_at_once = _PART_BATCHES * _BATCH_SIZE if scoring.by_network else 1  # others differ in size
    for group in groups:
        shard_index, group_index = group
        try:
            rows = list(selected_rows(dataset, selection, shard_index, group_index))
        except CharmNetError as error:
            yield GroupPart(group, 1, [str(error)])
            continue
        group_images = sum(map(image_count, rows))
        images = _decoded_images(rows, scoring, mask_edges)
        while entries := list(islice(images, images_at_once)):
            yield GroupPart(group, group_images, entries)


def _decoded_images(
    rows: Iterable[Row], scoring: Scoring, mask_edges: MaskEdges
) -> Iterator[EvaluationImage | str]:
    for row in rows:
        try:
            yield from row_images(row, scoring.size, mask_edges, scoring.protocol)
        except DataError as error:
            yield str(error)


def scored_part(
    method: HarmonizationMethod,
    part: GroupPart[EvaluationImage],
    scoring: Scoring,
    device: torch.device | str,
) -> GroupPart[ImageResult]:
    """Return the results of a part's images."""
    images = [entry for entry in part.entries if not isinstance(entry, str)]
    results = _results(method, images, scoring, device)
    entries = [entry if isinstance(entry, str) else next(results) for entry in part.entries]
    return GroupPart(part.group, part.group_images, entries)


def _results(
    method: HarmonizationMethod,
    images: Sequence[EvaluationImage],
    scoring: Scoring,
    device: torch.device | str,
) -> Iterator[ImageResult | str]:
    for start in range(0, len(images), _BATCH_SIZE):
        batch = images[start : start + _BATCH_SIZE]
        try:
            yield from evaluate_images(method, batch, scoring, device)
        except WeightsError as error:
            yield from [str(error)] * len(batch)
