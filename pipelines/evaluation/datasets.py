"""Evaluation of a method on a data set: in this process, or over a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from charmnet.errors import DataError
from charmnet.methods import HarmonizationMethod
from pipelines.evaluation.images import RowGroupKey, selected_groups, selected_image_count
from pipelines.evaluation.report import ImageResult
from pipelines.evaluation.row_groups import GroupPart, decoded_parts, scored_part
from pipelines.evaluation.scoring import DEFAULT_SCORING, Scoring
from pipelines.runtime.cluster import works_in_process
from pipelines.runtime.concurrency import read_ahead
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection

FEW_IMAGES = 64
"""Up to so many images are evaluated sooner in one process than a cluster starts."""

_NAMED_PROBLEMS = 5


def are_few(dataset: Dataset, selection: Selection, workers: int | None) -> bool:
    """Tell whether a selection's images are evaluated sooner in this process than a cluster starts."""
    images = selected_image_count(dataset, selection)
    return workers is None and images is not None and images <= FEW_IMAGES


def score_dataset(
    method: HarmonizationMethod,
    dataset: Dataset,
    selection: Selection,
    scoring: Scoring = DEFAULT_SCORING,
    workers: int | None = None,
) -> Iterator[ImageResult]:
    """Evaluate every image that a selection picks, once, in the order of the shards.

    Few images are evaluated in this process where no cluster is named and Ray does not run, else over a
    cluster, which is joined or started.

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
    for part in _scored_parts(method, dataset, selection, scoring, groups, workers):
        expected[part.group] = part.group_images
        seen[part.group] += len(part.entries)
        for result in part.entries:
            if isinstance(result, str):
                problems[result] = None
            else:
                yield result
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


def _scored_parts(
    method: HarmonizationMethod,
    dataset: Dataset,
    selection: Selection,
    scoring: Scoring,
    groups: list[RowGroupKey],
    workers: int | None,
) -> Iterator[GroupPart[ImageResult]]:
    mask_edges = method.requirements.mask_edges if scoring.by_network else "hard"
    if not works_in_process(are_few(dataset, selection, workers)):
        from pipelines.evaluation.distributed import scored_parts  # noqa: PLC0415 - Ray

        yield from scored_parts(
            method, dataset, selection, scoring, mask_edges, groups=groups, workers=workers
        )
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    method = method.for_inference(device)
    parts = decoded_parts(dataset, selection, scoring, mask_edges, groups)
    with _one_thread_each() as threads:
        at_once = 1 if device == "cuda" else threads
        yield from read_ahead(partial(scored_part, method, scoring=scoring, device=device), parts, at_once)


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Inside, an operation of torch takes one thread, as in a cluster's actors, for the same results.

    Yields:
        number of threads that it took before.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
