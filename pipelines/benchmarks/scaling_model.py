"""Model of throughput against the number of workers: the costs of each worker, and those that all share.

A step takes as long as the slowest of what runs side by side: the worker's own work with the part of the
all-reduce that the backward pass does not hide, the coordinator of each domain, which hands out the blocks of
all workers from one process, the object store, and the CPUs that make samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNLIMITED = float("inf")


@dataclass(frozen=True)
class Costs:
    """Constants of the model.

    Attributes:
        step_seconds: a worker's update with its own pairs, gradients not averaged.
        pairs: pairs of a worker's step.
        gradient_bytes: bytes that are averaged over the workers in a step.
        hidden_seconds: the part of the backward pass during which gradients can travel.
        link_bytes_per_second: a worker's link, in each direction.
        latency_seconds: one message over the link.
        block_seconds: the coordinator's CPU time for a block; a block is one worker's lane of one step.
        read_bytes: bytes read from the store for a pair.
        reads: requests to the store for a pair.
        sample_seconds: CPU time of making the samples of a pair.
        cpus_per_worker: CPUs that make samples.
        store_bytes_per_second: throughput of the whole store.
        store_reads_per_second: requests that the whole store answers.
    """

    step_seconds: float
    pairs: int
    gradient_bytes: float
    hidden_seconds: float
    link_bytes_per_second: float
    latency_seconds: float
    block_seconds: float
    read_bytes: float
    reads: float
    sample_seconds: float
    cpus_per_worker: float
    store_bytes_per_second: float = UNLIMITED
    store_reads_per_second: float = UNLIMITED

    def all_reduce_seconds(self, workers: int) -> float:
        """Return the time of a ring: a worker sends all gradients twice but its part, in 2(N-1) messages."""
        others = workers - 1
        traffic = 2 * others / workers * self.gradient_bytes / self.link_bytes_per_second
        return traffic + 2 * others * self.latency_seconds

    def limits(self, workers: int) -> dict[str, float]:
        """Return the least seconds of a step by the resource that it waits for."""
        exposed = max(0.0, self.all_reduce_seconds(workers) - self.hidden_seconds)
        pairs = workers * self.pairs
        return {
            "update and all-reduce": self.step_seconds + exposed,
            "coordinator": workers * self.block_seconds,
            "store, bytes": pairs * self.read_bytes / self.store_bytes_per_second,
            "store, requests": pairs * self.reads / self.store_reads_per_second,
            "data CPUs": self.pairs * self.sample_seconds / self.cpus_per_worker,
        }

    def pairs_per_second(self, workers: int) -> float:
        """Return the throughput of the whole group."""
        return workers * self.pairs / max(self.limits(workers).values())

    def efficiency(self, workers: int) -> float:
        """Return the throughput of a worker in the group over that of one by itself."""
        return self.pairs_per_second(workers) / workers / self.pairs_per_second(1)

    def bottleneck(self, workers: int) -> str:
        """Return the resource that a step waits for."""
        limits = self.limits(workers)
        return max(limits, key=limits.__getitem__)


def largest_group(costs: Costs, efficiency: float, counts: Iterable[int]) -> int:
    """Return the largest count whose workers each reach this share of one alone; 0 if none does."""
    return max((count for count in counts if costs.efficiency(count) >= efficiency), default=0)


def fitted_all_reduce(seconds: Mapping[float, float]) -> tuple[float, float]:
    """Return (bytes per second, seconds of a message) of a link between two workers.

    Args:
        seconds: time of one all-reduce of two workers by the bytes that it averages; two sizes at least.

    Raises:
        ValueError: the larger all-reduce was not the slower one, so that no link fits.
    """
    small = min(seconds)
    large = max(seconds)
    if not seconds[large] > seconds[small] > 0:
        raise ValueError(f"all-reduces of {small:g} and {large:g} bytes took {seconds}: measure again")
    link = (large - small) / (seconds[large] - seconds[small])  # of two workers each sends all of it once
    return link, max(0.0, seconds[small] - small / link) / 2
