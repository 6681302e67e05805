"""Order of an epoch as a pure function of (manifests, selection, limit, seed, epoch).

The samples of a step's global batch depend on nothing else: not on the number of workers, not on timing, not
on earlier failures. Nothing here does I/O.

Shuffling. Row groups are the unit of reading, so an epoch is a sequence of *shuffle pools*: about
`pool_row_groups` row groups whose samples are mixed. Row groups differ in size (the last one of a shard, or
the rest that a selection leaves), and finding the pool of a position must not take a prefix sum over all of
them. So row groups of equal size form a *class*, and every pool takes an even share of each class: after j
of J pools, ``(G_c * j + phase_c) // J`` of the G_c row groups of class c have been taken. The samples
before pool j are then a sum over the classes (there are at most as many as a row group has samples), and
the pool of a position is found by bisection. A permutation that is computed an element at a time decides
which row groups a share consists of. So planning a window costs O(window * log row groups), however long the
epoch.
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
        epoch: number of the epoch, from 0.
        references: [N,3] samples, each a `Reference`.
    """

    epoch: int
    references: NDArray[np.int32]


class EpochPlan:
    """Endless stream of a domain's samples: its epochs, one after the other.

    A position counts samples from the beginning of the stream, through all epochs.

    Args:
        samples: the samples of an epoch.
        domain: domain of the stream.
        seed: seed of the run.
        pool_row_groups: number of row groups that a shuffle pool mixes; a larger pool shuffles better and
            takes more memory.

    Attributes:
        num_samples: number of samples of an epoch.
        num_pools: number of shuffle pools of an epoch.

    Raises:
        ValueError: `pool_row_groups` is below 1.
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

    def runs(self, start: int, stop: int) -> Iterator[SampleRun]:
        """Yield the samples at positions start..stop-1, cut where epochs end."""
        while start < stop:
            epoch, first = divmod(start, self.num_samples)
            last = min(first + stop - start, self.num_samples)
            yield SampleRun(epoch, self._epoch(epoch).references(first, last))
            start += last - first

    def pool_end(self, position: int) -> int:
        """Return the position at which the shuffle pool of a position ends."""
        number, within_epoch = divmod(position, self.num_samples)
        epoch = self._epoch(number)
        return number * self.num_samples + epoch.samples_before(epoch.pool_of(within_epoch) + 1)

    def row_groups(self, start: int, stop: int) -> set[tuple[int, int]]:
        """Return the (shard index, row group index) that hold the samples at positions start..stop-1."""
        return {
            (shard, group) for run in self.runs(start, stop) for shard, group, _ in run.references.tolist()
        }

    def substitutes(self, position: int, distance: int) -> Iterator[Reference]:
        """Yield the substitutes for the sample at a position: the next ones of its epoch, past its end.

        Args:
            position: the sample's position.
            distance: positions from there to the first substitute. With the batch size, the substitute's own
                place is in another batch, and its row group is mostly one that is read anyway.
        """
        epoch_start = position - position % self.num_samples
        for tries in range(min(self.num_samples, MAX_SUBSTITUTES)):
            candidate = epoch_start + (position + distance + tries) % self.num_samples
            shard, group, offset = next(self.runs(candidate, candidate + 1)).references[0].tolist()
            yield shard, group, offset


class _Epoch:
    """Order of one epoch; positions count from its beginning."""

    def __init__(self, plan: EpochPlan, number: int) -> None:
        self.plan = plan
        self.number = number
        self.key = (plan.seed, str(plan.domain), number)
        rng = seeded_rng("phases", *self.key)
        self.phases = [int(rng.integers(plan.num_pools)) for _ in plan.classes]
        self.orders = [
            Permutation(len(size_class.row_groups), *self.key, "row groups", i)
            for i, size_class in enumerate(plan.classes)
        ]
        self._pool = lru_cache(maxsize=2)(self._mixed)  # cutting windows needs a pool several times

    def references(self, first: int, last: int) -> NDArray[np.int32]:
        """Return the references [last-first,3] of the positions first..last-1."""
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
        """Return the number of row groups of a class that the first `pools` pools take."""
        row_groups = len(self.plan.classes[size_class].row_groups)
        return (row_groups * pools + self.phases[size_class]) // self.plan.num_pools

    def samples_before(self, pool: int) -> int:
        """Return the number of samples in the pools before one."""
        return sum(c.samples * self._taken(i, pool) for i, c in enumerate(self.plan.classes))

    def pool_of(self, position: int) -> int:
        """Return the number of the pool that a position lies in."""
        low = 0
        high = self.plan.num_pools - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.samples_before(middle) <= position:
                low = middle
            else:
                high = middle - 1
        return low

    def _mixed(self, pool: int) -> NDArray[np.int32]:
        """Return a pool's samples in random order; with many small classes a pool may have none."""
        parts = [np.empty((0, 3), np.int32)]
        for i, size_class in enumerate(self.plan.classes):
            taken = np.arange(self._taken(i, pool), self._taken(i, pool + 1), dtype=np.int64)
            if not len(taken):
                continue
            parts.append(size_class.references(self.orders[i](taken)))
        samples = np.concatenate(parts)
        return samples[seeded_rng("pool", *self.key, pool).permutation(len(samples))]
