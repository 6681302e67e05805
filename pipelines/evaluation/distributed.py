"""Evaluation over a cluster: actors with the model decode row groups and score their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2

from charmnet.augment import MaskEdges
from charmnet.methods import HarmonizationMethod
from pipelines.evaluation.images import RowGroupKey
from pipelines.evaluation.report import ImageResult
from pipelines.evaluation.row_groups import GroupPart, decoded_parts, scored_part
from pipelines.evaluation.scoring import Scoring
from pipelines.runtime.actors import map_with_actors
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection

_MOST_THREADS = 8  # row groups that an actor with a GPU works on, whose pictures its CPUs decode and measure


def scored_parts(
    method: HarmonizationMethod,
    dataset: Dataset,
    selection: Selection,
    scoring: Scoring,
    mask_edges: MaskEdges,
    *,
    groups: Sequence[RowGroupKey],
    workers: int | None,
) -> Iterator[GroupPart[ImageResult]]:
    """Decode and score row groups; join Ray or start it.

    Yields:
        parts of the row groups with results, in the order of the groups.
    """
    connect()
    capacity = ClusterCapacity.current()
    actors = capacity.actor_count(workers, len(groups))
    threads = min(max(capacity.cpus // actors, 1), _MOST_THREADS) if capacity.gpus else 1
    arrived: dict[int, list[GroupPart[ImageResult]]] = {}  # before their turn
    turn = 0
    for number, parts in map_with_actors(
        _Scorer,
        (method, dataset, selection, scoring, mask_edges),
        groups,
        actors=actors,
        on_gpus=bool(capacity.gpus),
        at_once=threads,
    ):
        arrived[number] = parts
        while turn in arrived:
            yield from arrived.pop(turn)
            turn += 1


class _Scorer:
    """Scores row groups in an actor."""

    def __init__(
        self,
        method: HarmonizationMethod,
        dataset: Dataset,
        selection: Selection,
        scoring: Scoring,
        mask_edges: MaskEdges,
    ) -> None:
        cv2.setNumThreads(0)  # actors and their threads are the parallelism
        self._device = assigned_device()
        self._method = method.for_inference(self._device)
        self._dataset = dataset
        self._selection = selection
        self._scoring = scoring
        self._mask_edges = mask_edges

    def __call__(self, group: RowGroupKey) -> list[GroupPart[ImageResult]]:
        parts = decoded_parts(self._dataset, self._selection, self._scoring, self._mask_edges, [group])
        return [scored_part(self._method, part, self._scoring, self._device) for part in parts]
