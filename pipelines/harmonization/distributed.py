"""Harmonization of many pictures over a cluster: actors with the model read, harmonize and write."""

from __future__ import annotations

from collections.abc import Iterator

import cv2

from charmnet.blending import Adjustment
from charmnet.methods import HarmonizationMethod
from pipelines.harmonization.files import FileResult, Folders
from pipelines.harmonization.harmonizer import Harmonizer
from pipelines.runtime.actors import map_with_actors
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect

_PICTURES_PER_CALL = 8
# Threads of an actor: one waits for the store while another computes.
_FEWEST_THREADS = 2
_MOST_THREADS = 4


def harmonize_pictures(
    method: HarmonizationMethod,
    folders: Folders,
    pairs: list[tuple[str, str]],
    adjustment: Adjustment,
    *,
    workers: int | None = None,
) -> Iterator[FileResult]:
    """Harmonize pairs of pictures and masks; join Ray or start it.

    Results come as they are ready. A picture that fails is a result with a problem and stops no other.

    Args:
        method: method that harmonizes.
        folders: where pictures are read and written.
        pairs: (composite, mask), paths relative to their folders.
        adjustment: what is chosen about the results.
        workers: number of actors with the model; by default one per GPU, or one per CPU without GPUs.
    """
    if not pairs:
        return
    connect()
    capacity = ClusterCapacity.current()
    batches = [
        pairs[start : start + _PICTURES_PER_CALL] for start in range(0, len(pairs), _PICTURES_PER_CALL)
    ]
    actors = capacity.actor_count(workers, len(batches))
    threads = min(max(capacity.cpus // actors, _FEWEST_THREADS), _MOST_THREADS)
    arguments = (method, folders, adjustment, threads)
    for _, results in map_with_actors(
        _Harmonize, arguments, batches, actors=actors, on_gpus=bool(capacity.gpus)
    ):
        yield from results


class _Harmonize:
    """Harmonizes pictures in an actor, whose threads take one each."""

    def __init__(
        self, method: HarmonizationMethod, folders: Folders, adjustment: Adjustment, threads: int
    ) -> None:
        cv2.setNumThreads(0)  # actors and their threads are the parallelism
        self._harmonizer = Harmonizer(method, folders, adjustment, device=assigned_device(), threads=threads)

    def __call__(self, pairs: list[tuple[str, str]]) -> list[FileResult]:
        return list(self._harmonizer.harmonize(pairs))
