"""Predictions of `scaling_model` for clusters that were not there to be measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.table import Table

from charmnet.vocabulary import Domain
from pipelines.benchmarks.scaling_model import Costs, largest_group

_LEAST_EFFICIENCY = 0.9  # below it a worker is one too many
_ROWS_PER_GROUP = 64


@dataclass(frozen=True)
class Cluster:
    """Assumed workers and network.

    Attributes:
        pairs: of a worker's step; None for the measured number.
        step_seconds: of a worker's update; None for the measured time.
        link_bytes_per_second: of the network between workers.
        latency_seconds: of one message.
        cpus_per_worker: CPUs that make samples.
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
"""All of it is assumed."""

COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
"""Numbers of workers that are predicted."""

_SAMPLE_SECONDS = 0.006  # of one CPU for a pair from shards that were shrunk once
_READ_BYTES = 7.5e4  # of a pair from such shards
_REQUESTS_PER_GROUP = 3  # length, footer, data
_STORE_READS_PER_SECOND = 5500.0  # what S3 promises for one prefix


def costs_of(cluster: Cluster, figures: dict[str, Any], workers: dict[str, Any]) -> Costs:
    """Return the model's constants for a cluster.

    Args:
        cluster: the assumed one.
        figures: of `charmnet bench scaling`.
        workers: figures of `charmnet bench workers`.
    """
    one, apart, together = (statistics.median(turn["seconds"]) for turn in workers["turns"].values())
    link = figures["all_reduce"]
    here = Costs(
        step_seconds=one,
        pairs=workers["arguments"]["batch"],
        gradient_bytes=workers["gradient_bytes"],
        hidden_seconds=0.0,
        link_bytes_per_second=link["link_bytes_per_second"],
        latency_seconds=link["latency_seconds"],
        block_seconds=max((entry["cpu_seconds_per_block"] for entry in figures["coordinators"]), default=0.0),
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
    """Return for each cluster the largest group at nine tenths of perfect, rates and bottlenecks."""
    predicted = {}
    for name, cluster in CLUSTERS.items():
        costs = costs_of(cluster, figures, workers)
        predicted[name] = {
            "costs": asdict(costs) | {"store_bytes_per_second": None},
            "largest_group": largest_group(costs, _LEAST_EFFICIENCY, range(1, COUNTS[-1] + 1)),
            "workers": COUNTS,
            "pairs_per_second": [costs.pairs_per_second(count) for count in COUNTS],
            "efficiency": [costs.efficiency(count) for count in COUNTS],
            "bottleneck": [costs.bottleneck(count) for count in COUNTS],
        }
    return predicted


def prediction_table(predicted: Mapping[str, Any]) -> Table:
    """Return a row for each number of workers, with a column for each cluster."""
    table = Table("workers", *predicted, title="predicted: pairs/s, share of perfect, what a step waits for")
    for index, count in enumerate(COUNTS):
        cells = []
        for cluster in predicted.values():
            rate = cluster["pairs_per_second"][index]
            efficiency = cluster["efficiency"][index]
            cells.append(f"{rate:,.0f}  {efficiency:.0%}  {cluster['bottleneck'][index]}")
        table.add_row(str(count), *cells)
    return table
