"""Evaluation over a cluster with Ray Data: tasks decode row groups, actors with the model score batches.

Tasks return errors as values: Ray Data hides the error that a task raises among its own, and stops at the
first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import astuple, fields
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import ray
import ray.data

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
    selected_groups,
    selected_rows,
)
from pipelines.evaluation.report import ImageResult
from pipelines.evaluation.scoring import DEFAULT_SCORING, Scoring, evaluate_images
from pipelines.evaluation.tricks import TRICKS
from pipelines.runtime.blocks import Block, pack_block, unpack_block
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.shards.stratum import Stratum

_BATCH_SIZE = 8  # images that the network harmonizes at once
_BLOCK_BATCHES = 4  # a block costs Ray Data about ten milliseconds, whatever its size
_CPUS_PER_TASK = 0.5  # decoding and scoring share the CPUs, and a single CPU is enough for both
_NAMED_PROBLEMS = 5

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


def score_dataset(
    method: HarmonizationMethod,
    dataset: Dataset,
    selection: Selection,
    scoring: Scoring = DEFAULT_SCORING,
    workers: int | None = None,
) -> Iterator[ImageResult]:
    """Evaluate every image that a selection picks, once, in the order of the shards; join or start Ray.

    Args:
        method: method to evaluate.
        dataset: data set with the images.
        selection: images to evaluate on.
        scoring: rules of the evaluation.
        workers: number of actors with the model; by default one per GPU, or one per CPU without GPUs.

    Raises:
        ValueError: the selection picks nothing, or the method cannot be scored by these rules.
        DataError: rows cannot be read (names the first ones), or images were lost or counted twice.
    """
    scoring.check(method)
    groups = selected_groups(dataset, selection)
    expected: dict[RowGroupKey, int] = {}
    seen: Counter[RowGroupKey] = Counter()
    problems: dict[str, None] = {}  # in order, each once: images of one batch may have the same
    for block in _scored_blocks(method, dataset, selection, scoring, groups=groups, workers=workers):
        for row in _rows(block):
            group = int(row["shard"]), int(row["group"])
            expected[group] = row["group_images"]
            seen[group] += 1
            if row["problem"]:
                problems[str(row["problem"])] = None
            else:
                yield _result(row)
    if problems:
        raise DataError(
            f"{dataset.location}: {len(problems)} rows or row groups cannot be evaluated: "
            f"{'; '.join(list(problems)[:_NAMED_PROBLEMS])}; `charmnet inspect --verify` checks the data"
        )
    wrong = [group for group in groups if seen[group] != expected.get(group)]
    if wrong:
        raise DataError(
            f"{dataset.location}: images of (shard, row group) {wrong} were lost or counted twice"
        )


def _scored_blocks(
    method: HarmonizationMethod,
    dataset: Dataset,
    selection: Selection,
    scoring: Scoring,
    *,
    groups: list[RowGroupKey],
    workers: int | None,
) -> Iterator[Block]:
    connect()
    capacity = ClusterCapacity.current()
    actors = capacity.actor_count(workers, len(groups))
    mask_edges = method.requirements.mask_edges if scoring.by_network else "hard"
    images_at_once = _BLOCK_BATCHES * _BATCH_SIZE if scoring.by_network else 1  # others differ in size
    data_reference = ray.put((dataset, selection))  # a manifest may be large: once for all tasks

    def decode(batch: Block) -> Iterator[Block]:
        stored_dataset, stored_selection = ray.get(data_reference)
        for group in zip(batch["shard"].tolist(), batch["group"].tolist(), strict=True):
            images = _decoded_images(stored_dataset, stored_selection, group, mask_edges, scoring)
            yield from map(pack_block, _joined(images, images_at_once))

    items = [{"shard": shard, "group": index} for shard, index in groups]
    listed = ray.data.from_items(items, override_num_blocks=len(items))
    decoded = listed.map_batches(decode, batch_size=None, num_cpus=_CPUS_PER_TASK)
    scored = decoded.map_batches(
        _Scorer,
        fn_constructor_args=(ray.put(method), scoring),
        batch_size=1,  # one block; with more, Ray Data would give an actor as many row groups at once
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
        **({"num_gpus": 1} if capacity.gpus else {"num_cpus": _CPUS_PER_TASK}),  # both: a warning
    )
    scored.context.target_max_block_size = 1  # byte: each block is passed on as soon as it is made
    scored.context.execution_options.preserve_order = True
    yield from map(unpack_block, scored.iter_batches(batch_size=None, batch_format="pyarrow"))


def _joined(blocks: Iterator[Block], images_at_once: int) -> Iterator[Block]:
    """Join blocks of one image into blocks of as many images as are sent at once."""
    while parts := list(islice(blocks, images_at_once)):
        yield {name: np.concatenate([block[name] for block in parts]) for name in parts[0]}


def _decoded_images(
    dataset: Dataset, selection: Selection, group: RowGroupKey, mask_edges: MaskEdges, scoring: Scoring
) -> Iterator[Block]:
    """Yield a row group's images, a block each; for a row that cannot be read, a block with its problem."""
    cv2.setNumThreads(0)  # tasks are the parallelism
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


class _Scorer:
    """Actor with the model, which scores blocks of images and passes on images that could not be read."""

    def __init__(self, method_reference: ray.ObjectRef[HarmonizationMethod], scoring: Scoring) -> None:
        cv2.setNumThreads(0)  # actors are the parallelism
        self.device = assigned_device()
        self.method = ray.get(method_reference).to(self.device)
        self.scoring = scoring

    def __call__(self, block: pa.Table) -> pa.Table:
        images = unpack_block(block)
        rows = list(_rows(images))
        errors = np.full((len(rows), len(_IMAGES), len(_FIGURES)), np.nan)
        problems = [str(row["problem"]) for row in rows]
        readable = [index for index, problem in enumerate(problems) if not problem]
        for start in range(0, len(readable), _BATCH_SIZE):
            batch = readable[start : start + _BATCH_SIZE]
            try:
                scored = [_image(rows[index]) for index in batch]
                for index, result in zip(
                    batch, evaluate_images(self.method, scored, self.scoring, self.device), strict=True
                ):
                    named = list(map(astuple, result.errors.values()))
                    errors[index, : len(named)] = np.array(named, np.float64)  # None becomes NaN
            except WeightsError as error:
                for index in batch:
                    problems[index] = str(error)
        labels = {name: values for name, values in images.items() if name not in _PICTURES}
        return pack_block(labels | {"problem": np.array(problems), "errors": errors})


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


def _rows(block: Block) -> Iterator[dict[str, Any]]:
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


def _result(row: Mapping[str, Any]) -> ImageResult:
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
