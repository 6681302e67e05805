"""Streams of a worker's share of the global batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import ray
import ray.train
import ray.train.collective
import ray.train.torch
import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods import Requirements
from charmnet.vocabulary import Domain
from pipelines.config.train_config import data_requirements
from pipelines.ingest.execution import TaskResources
from pipelines.ingest.lanes import LaneShard
from pipelines.runtime.blocks import Block
from pipelines.training.coordinator import RunCoordinatorClient
from pipelines.training.job import TrainingJob


def open_streams(
    job: TrainingJob, domains: Iterable[Domain], rank: int, num_workers: int, start_step: int
) -> dict[Domain, Iterator[Block]]:
    """Open the streams from a step to the run's last, by domain; all workers of the group call it at once."""
    streams = {}
    amounts, labels = data_requirements(job.config.data_resources)
    resources = TaskResources(
        job.placement.cpus_per_task, job.placement.cpus_per_domain, amounts=amounts, labels=labels
    )
    for domain in sorted(domains):
        shard = LaneShard(
            job.specs[domain.value],
            rank,
            num_workers,
            resources=resources,
            quarantine=job.coordinator,
            broadcast=partial(_broadcast, job.coordinator, rank, num_workers, domain.value),
        )
        streams[domain] = shard.steps(start_step, job.steps)
    return streams


def _broadcast(coordinator: RunCoordinatorClient, rank: int, num_workers: int, name: str, value: Any) -> Any:
    """Give every worker the first one's value by way of the run's coordinator.

    So Ray counts the handles and frees what nobody holds. Ray Train's own broadcast is for less than a
    kilobyte of plain data and would keep them for ever.
    """
    if num_workers == 1:
        return value
    if rank == 0:
        coordinator.put(name, value)
    ray.train.collective.barrier()
    return coordinator.get(name)


def to_batch(block: Block, device: torch.device, requirements: Requirements) -> HarmonizationBatch:
    """Return a worker's share of a global batch as float tensors on its device.

    Args:
        block: see `pipelines.ingest.window.read_window`.
        device: where the batch is to be.
        requirements: requirements of the method that takes it.
    """
    style, condition = (block.get(name) for name in ("composite_style", "ground_truth_style"))
    return HarmonizationBatch.from_uint8(
        composite=torch.from_numpy(block["composite"]),
        ground_truth=torch.from_numpy(block["ground_truth"]),
        foreground_mask=torch.from_numpy(block["foreground_mask"]),
        composite_style=None if style is None else torch.from_numpy(style),
        ground_truth_style=None if condition is None else torch.from_numpy(condition),
        device=device,
        value_range=requirements.value_range,
        soft_mask=requirements.mask_edges == "soft",
    )
