"""The order of an epoch as a pure function of (manifest, seed, epoch).

Which samples form the global batch of step s depends on nothing else: not on the number of workers, not on
timing, not on what died before. Nothing here does I/O.

How it shuffles. Row groups are the unit of reading, so an epoch is a sequence of *pools*: about
`pool_row_groups` row groups whose samples are mixed. Row groups differ in size (the last of a shard, or
what a selection leaves of one), and finding the pool of a position must not take a prefix sum over all of
them. So row groups of equal size form a *class*, and every pool takes an even share of each class: after j
of J pools, ``(G_c * j + phase_c) // J`` of the G_c row groups of class c have been taken. The samples
before pool j are then a sum over the classes (there are at most as many as a row group has samples), and
the pool of a position is found by bisection. Which row groups a share consists of is decided by a
permutation that is computed an element at a time. So planning a window costs O(window * log row groups),
however long the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from charmnet.vocabulary import Domain
from pipelines.ingest.permutation import Permutation
from pipelines.ingest.sample_table import SampleTable
from pipelines.ingest.samples import Reference
from pipelines.runtime.randomness import seeded_rng

MAX_SUBSTITUTES = 1000
"""Substitutes that are tried for a sample that cannot be decoded; so many broken ones are no accident."""


@dataclass(frozen=True)
class SampleRun:
    """Consecutive positions of the endless stream that lie in one epoch.

    Attributes:
        epoch: which.
        references: [N, 3] (shard index, row group index, sample offset among the row group's selected
            samples).
    """

    epoch: int
    references: NDArray[np.int32]


class EpochPlan:
    """The endless stream of a domain's samples: its epochs, one after the other.

    Args:
        samples: the samples of an epoch.
        domain: domain of the stream.
        seed: seed of the run.
        pool_row_groups: number of row groups that are mixed; a larger pool shuffles better and takes more
            memory.
    """

    def __init__(self, samples: SampleTable, domain: Domain, seed: int = 0, pool_row_groups: int = 4) -> None:
        if pool_row_groups < 1:
            raise ValueError(f"pool_row_groups is {pool_row_groups}, expected at least 1")
        self.domain = domain
        self.seed = seed
        self.classes = samples.size_classes()
        self.num_samples = samples.num_samples
        num_row_groups = sum(len(c.row_groups) for c in self.classes)
        self.num_pools = -(-num_row_groups // pool_row_groups)

        self._latest: _Epoch | None = None

    def _epoch(self, number: int) -> _Epoch:
        if self._latest is None or self._latest.number != number:
            self._latest = _Epoch(self, number)
        return self._latest

    def epoch_of(self, position: int) -> int:
        """The epoch that a position of the endless stream lies in."""
        return position // self.num_samples

    def runs(self, start: int, stop: int) -> Iterator[SampleRun]:
        """The samples at positions start..stop-1 of the endless stream, cut where epochs end."""
        while start < stop:
            epoch, first = divmod(start, self.num_samples)
            last = min(first + stop - start, self.num_samples)
            yield SampleRun(epoch, self._epoch(epoch).references(first, last))
            start += last - first

    def pool_end(self, position: int) -> int:
        """Where in the endless stream the shuffle pool ends that a position lies in."""
        number, place = divmod(position, self.num_samples)
        epoch = self._epoch(number)
        return number * self.num_samples + epoch.samples_before(epoch.pool_of(place) + 1)

    def row_groups(self, start: int, stop: int) -> set[tuple[int, int]]:
        """(shard index, row group index) of what has to be read for positions start..stop-1."""
        return {
            (shard, group) for run in self.runs(start, stop) for shard, group, _ in run.references.tolist()
        }

    def substitutes(self, position: int, distance: int) -> Iterator[Reference]:
        """What may stand for the sample at a position, in order: the same epoch's, round its end.

        Args:
            distance: how far on the first is; with the batch size it comes into another batch than its own
                place, and mostly from row groups that are read for it anyway.
        """
        epoch_start = position - position % self.num_samples
        for tries in range(min(self.num_samples, MAX_SUBSTITUTES)):
            place = epoch_start + (position + distance + tries) % self.num_samples
            shard, group, offset = next(self.runs(place, place + 1)).references[0].tolist()
            yield shard, group, offset


class _Epoch:
    """The order of one epoch."""

    def __init__(self, plan: EpochPlan, number: int) -> None:
        self.plan, self.number = plan, number
        self.key = (plan.seed, str(plan.domain), number)
        rng = seeded_rng("phases", *self.key)
        self.phases = [int(rng.integers(plan.num_pools)) for _ in plan.classes]
        self.orders = [
            Permutation(len(size_class.row_groups), *self.key, "row groups", i)
            for i, size_class in enumerate(plan.classes)
        ]
        self._pool = lru_cache(maxsize=2)(self._mixed)  # who cuts windows asks for a pool several times

    def references(self, first: int, last: int) -> NDArray[np.int32]:
        """[last - first, 3] for the positions first..last-1 of this epoch."""
        parts = []
        pool = self.pool_of(first)
        while first < last:
            begin = self.samples_before(pool)
            samples = self._pool(pool)
            part = samples[first - begin : last - begin]
            parts.append(part)
            first += len(part)
            pool += 1
        return np.concatenate(parts)

    def _taken(self, size_class: int, pools: int) -> int:
        """How many row groups of a class the first `pools` pools take."""
        row_groups = len(self.plan.classes[size_class].row_groups)
        return (row_groups * pools + self.phases[size_class]) // self.plan.num_pools

    def samples_before(self, pool: int) -> int:
        return sum(c.samples * self._taken(i, pool) for i, c in enumerate(self.plan.classes))

    def pool_of(self, position: int) -> int:
        low, high = 0, self.plan.num_pools - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.samples_before(middle) <= position:
                low = middle
            else:
                high = middle - 1
        return low

    def _mixed(self, pool: int) -> NDArray[np.int32]:
        """The pool's samples, mixed; of many small classes a pool may have none."""
        parts = [np.empty((0, 3), np.int32)]
        for i, size_class in enumerate(self.plan.classes):
            taken = np.arange(self._taken(i, pool), self._taken(i, pool + 1), dtype=np.int64)
            if not len(taken):
                continue
            parts.append(size_class.references(self.orders[i](taken)))
        samples = np.concatenate(parts)
        return samples[seeded_rng("pool", *self.key, pool).permutation(len(samples))]
