"""Harmonization of many pictures with Ray Data: actors with the model read, harmonize and write."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import ray
import ray.data

from charmnet.blending import Adjustment
from charmnet.methods import HarmonizationMethod
from pipelines.harmonization.files import FileResult, Folders
from pipelines.harmonization.harmonizer import Harmonizer
from pipelines.runtime.blocks import Block
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect

_PICTURES_PER_BLOCK = 8
_MOST_BLOCKS = 1000  # each costs about a millisecond
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
    blocks = min(math.ceil(len(pairs) / _PICTURES_PER_BLOCK), _MOST_BLOCKS)
    actors = capacity.actor_count(workers, blocks)
    threads = min(max(capacity.cpus // actors, _FEWEST_THREADS), _MOST_THREADS)
    items = [{"composite": composite, "mask": mask} for composite, mask in pairs]
    results = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        _HarmonizeActor,
        fn_constructor_args=(ray.put(method), folders, adjustment),
        fn_constructor_kwargs={"threads": threads},
        batch_size=_PICTURES_PER_BLOCK,  # Ray Data wants a number where there are GPUs
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_gpus=1 if capacity.gpus else None,
    )
    for block in results.iter_batches(batch_size=None):
        for path, problem, warning in zip(block["path"], block["problem"], block["warning"], strict=True):
            yield FileResult(str(path), problem=str(problem), warning=str(warning))


class _HarmonizeActor:
    """Actor with the model, whose threads harmonize a picture each."""

    def __init__(
        self,
        method_reference: ray.ObjectRef[HarmonizationMethod],
        folders: Folders,
        adjustment: Adjustment,
        *,
        threads: int,
    ) -> None:
        cv2.setNumThreads(0)  # actors and their threads are the parallelism
        self._harmonizer = Harmonizer(
            ray.get(method_reference),
            folders,
            adjustment,
            device=assigned_device(),
            threads=threads,
        )

    def __call__(self, batch: Block) -> Block:
        pairs = zip(batch["composite"].tolist(), batch["mask"].tolist(), strict=True)
        results = list(self._harmonizer.harmonize(pairs))
        return {
            name: np.array([getattr(result, name) for result in results])
            for name in ("path", "problem", "warning")
        }
