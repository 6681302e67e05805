"""What the model of `scaling_model` says of clusters that were not there to be measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.table import Table

from charmnet.vocabulary import Domain
from pipelines.benchmarks.scaling_model import Costs, largest_group

_WORTH = 0.9  # a worker that is worth less than this share of one alone is too many
_ROWS_PER_GROUP = 64
_TOLD = ("pairs_per_second", "efficiency", "bottleneck")


@dataclass(frozen=True)
class Cluster:
    """Workers that were not there to be measured.

    Attributes:
        pairs, step_seconds: of a worker's step; None is what was measured here.
        link_bytes_per_second, latency_seconds: of the network between workers.
        cpus_per_worker: for making samples.
    """

    pairs: int | None
    step_seconds: float | None
    link_bytes_per_second: float
    latency_seconds: float
    cpus_per_worker: float


CLUSTERS = {
    "cores like these, 10 Gbit/s": Cluster(None, None, 1.25e9, 5e-5, 0.1),
    "GPUs of 25 pairs/s, 25 Gbit/s": Cluster(8, 8 / 25, 3.125e9, 3e-5, 4),
    "GPUs of 100 pairs/s, 100 Gbit/s": Cluster(8, 8 / 100, 1.25e10, 2e-5, 8),
}
"""Assumed, all of it."""

COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
_SAMPLE_SECONDS = 0.006  # of one CPU for a pair from shards that were shrunk once
_READ_BYTES = 7.5e4  # of a pair from such shards
_REQUESTS_PER_GROUP = 3  # length, footer, data
_STORE_READS_PER_SECOND = 5500.0  # what S3 promises for one prefix


def costs_of(cluster: Cluster, figures: dict[str, Any], workers: dict[str, Any]) -> Costs:
    """The model's constants for a cluster, from what was measured with one and two workers here."""
    one, apart, together = (statistics.median(turn["seconds"]) for turn in workers["turns"].values())
    link = figures["all_reduce"]
    here = Costs(
        step_seconds=one,
        pairs=workers["arguments"]["batch"],
        gradient_bytes=workers["gradient_bytes"],
        hidden_seconds=0.0,
        link_bytes_per_second=link["link_bytes_per_second"],
        latency_seconds=link["latency_seconds"],
        block_seconds=max((found["cpu_seconds_per_block"] for found in figures["coordinators"]), default=0.0),
        read_bytes=_READ_BYTES,
        reads=len(Domain) * _REQUESTS_PER_GROUP / _ROWS_PER_GROUP,
        sample_seconds=_SAMPLE_SECONDS,
        cpus_per_worker=cluster.cpus_per_worker,
        store_reads_per_second=_STORE_READS_PER_SECOND,
    )
    hidden = max(0.0, here.all_reduce_seconds(2) - max(0.0, together - apart))
    step_seconds = cluster.step_seconds or one
    return replace(
        here,
        step_seconds=step_seconds,
        pairs=cluster.pairs or here.pairs,
        hidden_seconds=hidden * step_seconds / one,
        link_bytes_per_second=cluster.link_bytes_per_second,
        latency_seconds=cluster.latency_seconds,
    )


def predictions(figures: dict[str, Any], workers: dict[str, Any]) -> dict[str, Any]:
    """By cluster: the most workers that are each worth nine tenths of one, and rates and waits by number."""
    found = {}
    for name, cluster in CLUSTERS.items():
        costs = costs_of(cluster, figures, workers)
        found[name] = {
            "costs": asdict(costs) | {"store_bytes_per_second": None},
            "largest_group": largest_group(costs, _WORTH, range(1, COUNTS[-1] + 1)),
            "workers": COUNTS,
            "pairs_per_second": [costs.pairs_per_second(count) for count in COUNTS],
            "efficiency": [costs.efficiency(count) for count in COUNTS],
            "bottleneck": [costs.bottleneck(count) for count in COUNTS],
        }
    return found


def prediction_table(predicted: Mapping[str, Any]) -> Table:
    """By number of workers, a column for each cluster."""
    table = Table("workers", *predicted, title="predicted: pairs/s, share of perfect, what a step waits for")
    for index, count in enumerate(COUNTS):
        cells = []
        for found in predicted.values():
            rate, efficiency, bottleneck = (found[name][index] for name in _TOLD)
            cells.append(f"{rate:,.0f}  {efficiency:.0%}  {bottleneck}")
        table.add_row(str(count), *cells)
    return table
