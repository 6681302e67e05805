"""A model of throughput against the number of workers: what each of them adds, and what all of them share.

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
    """
    Attributes:
        step_seconds: of a worker's update with its own pairs, gradients not averaged.
        pairs: of a worker's step.
        gradient_bytes: of all that is averaged in a step.
        hidden_seconds: of the step's backward pass, beneath which gradients can travel.
        link_bytes_per_second: of a worker, in each direction. latency_seconds: of one message.
        block_seconds: of the coordinator's process for each block that it hands out (a block is one worker's
            lane of one step).
        read_bytes: of the store for a pair. store_bytes_per_second: of the whole store.
        reads: requests to the store for a pair. store_reads_per_second: of the whole store.
        sample_seconds: of one CPU for the samples of a pair. cpus_per_worker: for making them.
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
        """Of a ring: each worker sends all gradients twice, less its own part, in 2(N-1) messages."""
        others = workers - 1
        traffic = 2 * others / workers * self.gradient_bytes / self.link_bytes_per_second
        return traffic + 2 * others * self.latency_seconds

    def limits(self, workers: int) -> dict[str, float]:
        """Seconds that a step takes at least, by what it waits for."""
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
        """Of the whole group."""
        return workers * self.pairs / max(self.limits(workers).values())

    def efficiency(self, workers: int) -> float:
        """Of a worker in the group over one by itself."""
        return self.pairs_per_second(workers) / workers / self.pairs_per_second(1)

    def bottleneck(self, workers: int) -> str:
        """What a step waits for."""
        limits = self.limits(workers)
        return max(limits, key=limits.__getitem__)


def largest_group(costs: Costs, efficiency: float, counts: Iterable[int]) -> int:
    """The most workers, of some numbers, that are each worth at least this share of one alone; 0 if none."""
    return max((count for count in counts if costs.efficiency(count) >= efficiency), default=0)


def fitted_all_reduce(seconds: Mapping[float, float]) -> tuple[float, float]:
    """(bytes per second, seconds of a message) of a link between two workers.

    Args:
        seconds: of one all-reduce of two workers by the bytes that it averages; two sizes at least.

    Raises:
        ValueError: the larger one was not the slower: nothing can be said from that.
    """
    small, large = min(seconds), max(seconds)
    if not seconds[large] > seconds[small] > 0:
        raise ValueError(f"all-reduces of {small:g} and {large:g} bytes took {seconds}: measure again")
    link = (large - small) / (seconds[large] - seconds[small])  # of two workers each sends all of it once
    return link, max(0.0, seconds[small] - small / link) / 2
