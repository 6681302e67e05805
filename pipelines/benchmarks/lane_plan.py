"""Canonical lanes against today's shuffle pools: how batches mix, what is fetched twice, what is held.

The plan that is tried here deals the samples of *rounds* to lanes. A round is a fixed number of steps; its
samples are those of consecutive row groups in an order at random, cut into equal parts, one for each lane. A
lane's part is shuffled and gives each step its share. A worker owns neighbouring lanes and reads their parts
alone, so that no process serves all workers; row groups at the edges of its part are fetched by its
neighbour, too. Training does not use this plan.

  python -m pipelines.benchmarks.lane_plan
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from charmnet.vocabulary import Domain
from pipelines.benchmarks.options import benchmark_parser
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.ingest.sample_table import SampleTable
from pipelines.runtime.console import results
from pipelines.runtime.randomness import seeded_rng
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.schema import RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum

_SUBSETS = {
    "HCOCO": 38545,
    "HAdobe5k": 19437,
    "HFlickr": 7449,
    "Hday2night": 311,
}  # iHarmony4's training list
_ROWS_PER_GROUP = 64
_GROUPS_PER_SHARD = 16
_ENCODED_BYTES = 75_000  # of a sample from shards that were shrunk once

Samples = NDArray[np.int64]
"""Numbers of row groups, one for each sample."""


def manifest() -> Manifest:
    """Return shards of one subset each, as `charmnet shard` leaves them, with a short last row group each."""
    strata = tuple(Stratum(Domain.REAL, name, None, ("train",)) for name in _SUBSETS)
    shards: list[Shard] = []
    for index, rows in enumerate(_SUBSETS.values()):
        per_shard = _ROWS_PER_GROUP * _GROUPS_PER_SHARD
        for first in range(0, rows, per_shard):
            held = min(per_shard, rows - first)
            sizes = [min(_ROWS_PER_GROUP, held - start) for start in range(0, held, _ROWS_PER_GROUP)]
            groups = tuple(RowGroup(size, size, 0, {index: (size, size)}) for size in sizes)
            shards.append(Shard(f"{len(shards)}.parquet", 0, "0" * 64, groups))
    return Manifest(RowKind.PAIR, Container.PARQUET, Domain.REAL, strata, tuple(shards))


def pooled_epoch(data: Manifest, pool_row_groups: int) -> Samples:
    """Return today's epoch as the number of each sample's row group."""
    plan = EpochPlan(SampleTable([data]), Domain.REAL, pool_row_groups=pool_row_groups)
    references = next(plan.runs(0, plan.num_samples)).references
    return data.table.group_starts[references[:, 0]] + references[:, 1]


def rounds(data: Manifest, batch_size: int, lanes: int, steps: int) -> Iterator[NDArray[np.int64]]:
    """Yield the full rounds of an epoch as [lanes, samples of a lane's part]."""
    order = seeded_rng("row groups").permutation(len(data.table.rows))
    samples = np.repeat(order, data.table.rows[order])
    size = batch_size * steps
    for number in range(len(samples) // size):
        parts = samples[number * size : (number + 1) * size].reshape(lanes, -1)
        yield seeded_rng("round", number).permuted(parts, axis=1)


def laned_epoch(dealt: list[NDArray[np.int64]], batch_size: int) -> Samples:
    """Return the batches of rounds as today's are given: samples in the order of the steps."""
    lanes = len(dealt[0])
    share = batch_size // lanes
    steps = [part.reshape(lanes, -1, share).transpose(1, 0, 2).reshape(-1) for part in dealt]
    return np.concatenate(steps)


def mixing(data: Manifest, epoch: Samples, batch_size: int) -> tuple[float, float]:
    """Return (row groups in a batch, variance of a subset's count in it over that of drawing at random)."""
    batches = epoch[: len(epoch) // batch_size * batch_size].reshape(-1, batch_size)
    drawn = float(np.mean([len(np.unique(batch)) for batch in batches]))
    common = data.table.stratum[batches] == 1
    share = common.mean()
    return drawn, float(common.sum(axis=1).var() / (batch_size * share * (1 - share)))


def fetched(dealt: list[NDArray[np.int64]], workers: int) -> float:
    """Return how often a row group is fetched in an epoch, over all workers together."""
    fetches = sum(len(np.unique(part)) for parts in dealt for part in np.array_split(parts, workers))
    return fetches / len(np.unique(np.concatenate([parts.ravel() for parts in dealt])))


def tables() -> list[Table]:
    """Measure plans for some sizes of batches."""
    data = manifest()
    mixed = Table(
        "batch", "plan", "row groups in a batch", "variance of a subset's count", title="mixing (1: random)"
    )
    read = Table("batch", "lanes", "round, steps", "workers", "fetches a row group", "MB held by a data task")
    for batch_size in (64, 512):
        for pool in (4, 16):
            drawn, variance = mixing(data, pooled_epoch(data, pool), batch_size)
            mixed.add_row(f"{batch_size}", f"pools of {pool}", f"{drawn:.0f}", f"{variance:.2f}")
        for lanes, steps in ((32, 32), (32, 100)):
            dealt = list(rounds(data, batch_size, lanes, steps))
            drawn, variance = mixing(data, laned_epoch(dealt, batch_size), batch_size)
            name = f"{lanes} lanes, rounds of {steps} steps"
            mixed.add_row(f"{batch_size}", name, f"{drawn:.0f}", f"{variance:.2f}")
            for workers in (1, 8, 32):
                held = batch_size * steps / workers * _ENCODED_BYTES / 1e6
                cells = (f"{batch_size}", f"{lanes}", f"{steps}", f"{workers}")
                read.add_row(*cells, f"{fetched(dealt, workers):.2f}", f"{held:,.0f}")
    return [mixed, read]


if __name__ == "__main__":
    benchmark_parser(__doc__).parse_args()
    for table in tables():
        results.print(table)
