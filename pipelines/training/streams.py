"""A worker's streams of its share of the global batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import ray
import ray.train.collective

from charmnet.vocabulary import Domain
from pipelines.ingest.lanes import LaneShard
from pipelines.runtime.blocks import Block
from pipelines.training.job import TrainingJob


def open_streams(
    job: TrainingJob, domains: Iterable[Domain], rank: int, num_workers: int, start_step: int
) -> dict[Domain, Iterator[Block]]:
    """From a step to the run's last, by domain; all workers of the group call it at once."""
    tasks = job.placement.cpus_per_task, job.placement.cpus_per_domain, job.control
    streams = {}
    for domain in sorted(domains):
        share = partial(_share, job, rank, num_workers, domain.value)
        shard = LaneShard(job.specs[domain.value], rank, num_workers, *tasks, share=share)
        streams[domain] = shard.steps(start_step, job.steps)
    return streams


def _share(job: TrainingJob, rank: int, num_workers: int, name: str, splits: Any) -> Any:
    """Gives every worker what the first one has, by way of an actor.

    So Ray counts the handles and frees what nobody holds. Ray Train's own broadcast is for less than a
    kilobyte of plain data and would keep them for ever.
    """
    if num_workers == 1:
        return splits
    if rank == 0:
        ray.get(job.control.leave.remote(name, [ray.put(splits)]))
    ray.train.collective.barrier()
    (reference,) = ray.get(job.control.left.remote(name))
    return ray.get(reference)
