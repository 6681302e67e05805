"""Harmonizing many pictures through Ray Data: actors that hold the model read, harmonize and write."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from charmnet.methods import Method
from pipelines.harmonization.files import Outcome, try_file
from pipelines.runtime.blocks import Block
from pipelines.runtime.cluster import ClusterCapacity, assigned_device, connect
from pipelines.runtime.storage import Location

_PICTURES_PER_BLOCK = 8
_MOST_BLOCKS = 1000  # making them costs about a millisecond each
_LEAST_THREADS, _MOST_THREADS = 2, 4  # of an actor: one waits for the store while another computes


def harmonize_pictures(
    method: Method,
    source: Location,
    dest: Location,
    pairs: list[tuple[str, str]],
    background: bool = False,
    workers: int | None = None,
) -> Iterator[Outcome]:
    """Writes a result for each (composite, mask) of the source, at the composite's path in `dest`.

    Joins Ray or starts it. Outcomes come as they are ready; what failed is an outcome and stops nothing.

    Args:
        workers: how many models are at work; by default one a GPU or, where there is none, one a CPU.
    """
    if not pairs:
        return
    connect()
    import ray  # reads what `connect` sets
    import ray.data

    capacity = ClusterCapacity.current()
    blocks = min(math.ceil(len(pairs) / _PICTURES_PER_BLOCK), _MOST_BLOCKS)
    actors = capacity.actor_count(workers, blocks)
    threads = min(max(capacity.cpus // actors, _LEAST_THREADS), _MOST_THREADS)
    items = [{"composite": composite, "mask": mask} for composite, mask in pairs]
    outcomes = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        _Harmonizer,
        fn_constructor_args=(ray.put(method), (source, dest), background, threads),
        batch_size=_PICTURES_PER_BLOCK,  # Ray Data wants a number where there are GPUs
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_gpus=1 if capacity.gpus else None,
    )
    for block in outcomes.iter_batches(batch_size=None):
        for path, problem, warning in zip(block["path"], block["problem"], block["warning"], strict=True):
            yield Outcome(str(path), str(problem), str(warning))


class _Harmonizer:
    """An actor with the model, whose threads harmonize a picture each."""

    def __init__(
        self, method_reference: Any, folders: tuple[Location, Location], background: bool, threads: int
    ) -> None:
        import ray

        cv2.setNumThreads(0)  # actors and their threads are the parallelism
        self.device = assigned_device()
        self.method: Method = ray.get(method_reference).to(self.device)
        for module in self.method.modules.values():
            module.eval()  # or a thread would put it back to training while another is in it
        self.folders, self.background, self.threads = folders, background, threads

    def __call__(self, batch: Block) -> Block:
        pairs = list(zip(batch["composite"].tolist(), batch["mask"].tolist(), strict=True))
        with ThreadPoolExecutor(self.threads) as pool:
            outcomes = list(pool.map(self._try_pair, pairs))
        return {
            name: np.array([getattr(outcome, name) for outcome in outcomes])
            for name in ("path", "problem", "warning")
        }

    def _try_pair(self, pair: tuple[str, str]) -> Outcome:
        return try_file(self.method, self.folders, pair, self.background, self.device)
