"""A worker's place in its Ray Train group, and what the workers of a group exchange."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray.train
import ray.train.collective
import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor

from charmnet.losses import mean_over_workers


@dataclass(frozen=True)
class Worker:
    """A worker of a group.

    Attributes:
        rank: number among all workers, from 0.
        num_workers: number of workers.
        local_rank: number among the workers of its node, from 0.
        num_local: number of workers on its node.
        node_rank: number of its node, from 0.
        device: device that it computes on.
    """

    rank: int
    num_workers: int
    local_rank: int
    num_local: int
    node_rank: int
    device: torch.device

    @classmethod
    def current(cls) -> Worker:
        """Return the worker that runs in this process."""
        context = ray.train.get_context()
        return cls(
            rank=context.get_world_rank(),
            num_workers=context.get_world_size(),
            local_rank=context.get_local_rank(),
            num_local=context.get_local_world_size(),
            node_rank=context.get_node_rank(),
            device=ray.train.torch.get_device(),
        )

    @property
    def is_first(self) -> bool:
        """Whether it is the worker that logs, saves and reports for its group."""
        return self.rank == 0

    @property
    def num_threads(self) -> int:
        """Number of torch's threads: its share of the machine's cores where it computes on them.

        Beside a GPU one copies batches, and threads that wait for the next copy, spinning, would take the
        cores from the readers.
        """
        if self.device.type == "cuda":
            return 1
        return max(1, len(os.sched_getaffinity(0)) // self.num_local)

    def any_of_group(self, condition: bool) -> bool:
        """Return True on all workers where the condition holds on one; all of them call it at once."""
        return bool(mean_over_workers(torch.tensor(float(condition), device=self.device)).item() > 0)

    def gather(self, state: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the states of all workers by rank, on the CPU; all of them call it at once."""
        return self.gather_objects({name: tensor.detach().cpu() for name, tensor in state.items()})

    def gather_objects(self, value: Any) -> list[Any]:
        """Return the values of all workers by rank; all of them call it at once."""
        values: list[Any] = [value] * self.num_workers
        if self.num_workers > 1:
            dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the first worker's value, under a kilobyte of plain data; all of them call it at once."""
        return ray.train.collective.broadcast_from_rank_zero(value) if self.num_workers > 1 else value

    def preempted_nodes(self) -> frozenset[str]:
        """Return the ids of the group's nodes that are drained or preempted; all of them call it at once."""
        info = ray.train.get_preemption_info()
        return frozenset(info.preempted_node_ids if info else ())

    def barrier(self) -> None:
        """Wait until all workers have called it."""
        if self.num_workers > 1:
            dist.barrier()
