"""Scoring spread over a cluster by Ray Data: tasks decode row groups, actors with the model score batches.

Errors travel as values: Ray Data wraps what a task raises beyond recognition, and stops at the first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from charmnet.arrays import Float64Array
from charmnet.augment import TRAINING_SIZE
from charmnet.errors import CharmNetError, DataError, WeightsError
from charmnet.methods import Method
from charmnet.metrics import ImageErrors, Protocol
from charmnet.vocabulary import Domain
from pipelines.evaluation.images import (
    EvaluationImage,
    evaluate_images,
    image_count,
    row_images,
    selected_rows,
)
from pipelines.evaluation.report import ImageResult
from pipelines.runtime.blocks import Block, pack_block, unpack_block
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect
from pipelines.shards.manifest import Stratum
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.selection import Selection

Group = tuple[int, int]

_BATCH_SIZE = 8  # of the network
_BLOCK_BATCHES = 4  # a block costs Ray Data some ten milliseconds, whatever is in it
_CPUS_PER_TASK = 0.5  # decoding and scoring share the CPUs, and a single CPU is enough for both
_NAMED_PROBLEMS = 5

_PICTURES = ("composite", "ground_truth", "foreground_mask", "scoring_mask")
_PIXELS = np.zeros((TRAINING_SIZE, TRAINING_SIZE, 3), np.uint8)
_BLANK = EvaluationImage(
    "", _PIXELS, _PIXELS, _PIXELS[..., 0], _PIXELS[..., 0], Stratum(Domain.REAL, "", None, ()), 0.0
)


def score_dataset(
    method: Method,
    dataset: Dataset,
    selection: Selection,
    protocol: Protocol = Protocol.STANDARD,
    workers: int | None = None,
) -> Iterator[ImageResult]:
    """Every image that a selection picks, once, in the order of the shards; joins Ray or starts it.

    Args:
        workers: how many models are at work; by default one a GPU or, where there is none, one a CPU.

    Raises:
        ValueError: the selection picks nothing.
        DataError: rows cannot be read (names the first ones), or images were lost or doubled on the way.
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
    promised: dict[Group, int] = {}
    seen: Counter[Group] = Counter()
    problems: dict[str, None] = {}  # in order, each once: images of one batch may share theirs
    for block in _stream(method, (dataset, selection), protocol, groups, workers):
        for row in _rows(block):
            group = int(row["shard"]), int(row["group"])
            promised[group] = row["group_images"]
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
    wrong = [group for group in groups if seen[group] != promised.get(group)]
    if wrong:
        raise DataError(
            f"{dataset.location}: images of (shard, row group) {wrong} were lost or counted twice"
        )


def _stream(
    method: Method,
    data: tuple[Dataset, Selection],
    protocol: Protocol,
    groups: list[Group],
    workers: int | None,
) -> Iterator[Block]:
    connect()
    import ray  # reads what `connect` sets
    import ray.data

    capacity = ClusterCapacity.current()
    actors = capacity.actor_count(workers, len(groups))
    data_reference = ray.put(data)  # a manifest may be large: once for all tasks

    def decode(batch: Block) -> Iterator[Block]:
        for group in zip(batch["shard"].tolist(), batch["group"].tolist(), strict=True):
            yield from map(pack_block, _blocks(_decoded(*ray.get(data_reference), group)))

    items = [{"shard": shard, "group": index} for shard, index in groups]
    listed = ray.data.from_items(items, override_num_blocks=len(items))
    decoded = listed.map_batches(decode, batch_size=None, num_cpus=_CPUS_PER_TASK)
    scored = decoded.map_batches(
        _Scorer,
        fn_constructor_args=(ray.put(method), protocol),
        batch_size=1,  # a block; more would have Ray Data give an actor as many row groups at once
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
        **({"num_gpus": 1} if capacity.gpus else {"num_cpus": _CPUS_PER_TASK}),  # Ray Data warns of both
    )
    scored.context.target_max_block_size = 1  # byte: a block is a block, and leaves when it is made
    scored.context.execution_options.preserve_order = True
    yield from map(unpack_block, scored.iter_batches(batch_size=None, batch_format="pyarrow"))


def _blocks(blocks: Iterator[Block]) -> Iterator[Block]:
    """As many images together as travel at once."""
    while taken := list(islice(blocks, _BLOCK_BATCHES * _BATCH_SIZE)):
        yield {name: np.concatenate([block[name] for block in taken]) for name in taken[0]}


def _decoded(dataset: Dataset, selection: Selection, group: Group) -> Iterator[Block]:
    """A row group's images, a block each; of a row that cannot be read, a block that says so."""
    cv2.setNumThreads(0)  # tasks are the parallelism
    try:
        rows = list(selected_rows(dataset, selection, *group))
    except CharmNetError as error:
        yield _block(_BLANK, group, 1, str(error))
        return
    images = sum(map(image_count, rows))
    for row in rows:
        try:
            for image in row_images(row):
                yield _block(image, group, images)
        except DataError as error:
            yield _block(_BLANK, group, images, str(error))


class _Scorer:
    """An actor with the model: scores blocks of images and passes on what could not be read."""

    def __init__(self, method_reference: Any, protocol: Protocol) -> None:
        import ray

        self.device = assigned_device()
        self.method: Method = ray.get(method_reference).to(self.device)
        self.protocol = protocol

    def __call__(self, block: pa.Table) -> pa.Table:
        images = unpack_block(block)
        rows = list(_rows(images))
        errors = np.full((len(rows), 6), np.nan)
        problems = [str(row["problem"]) for row in rows]
        readable = [index for index, problem in enumerate(problems) if not problem]
        for start in range(0, len(readable), _BATCH_SIZE):
            batch = readable[start : start + _BATCH_SIZE]
            try:
                scored = [_image(rows[index]) for index in batch]
                results = evaluate_images(self.method, scored, self.protocol, self.device)
                errors[batch] = [astuple(r.composite) + astuple(r.harmonized) for r in results]
            except WeightsError as error:
                for index in batch:
                    problems[index] = str(error)
        labels = {name: values for name, values in images.items() if name not in _PICTURES}
        return pack_block(labels | {"problem": np.array(problems), "errors": errors})


def _block(image: EvaluationImage, group: Group, group_images: int, problem: str = "") -> Block:
    stratum = image.stratum
    labels = {
        "id": image.id,
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


def _labels(row: Mapping[str, Any]) -> tuple[str, Stratum, float]:
    domain, subset, category, splits = json.loads(row["stratum"])
    stratum = Stratum(Domain(domain), subset, category, tuple(splits))
    return str(row["id"]), stratum, float(row["foreground_ratio"])


def _image(row: Mapping[str, Any]) -> EvaluationImage:
    identity, stratum, foreground_ratio = _labels(row)
    pictures = {name: row[name] for name in _PICTURES}
    return EvaluationImage(identity, stratum=stratum, foreground_ratio=foreground_ratio, **pictures)


def _result(row: Mapping[str, Any]) -> ImageResult:
    return ImageResult(*_labels(row), _errors(row["errors"][:3]), _errors(row["errors"][3:]))


def _errors(values: Float64Array) -> ImageErrors:
    mse, fmse, psnr = values.tolist()
    return ImageErrors(mse, None if np.isnan(fmse) else fmse, None if np.isnan(psnr) else psnr)
