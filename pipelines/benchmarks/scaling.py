"""Costs that grow with a cluster or with its data and fall to one process, at the size of a cluster.

Manifests of up to a hundred thousand shards are loaded, shipped and planned; a coordinator hands out blocks
to up to hundreds of workers, who take them and do nothing with them; and two processes average arrays of two
sizes. With the file that `charmnet bench workers --json` wrote, the model of `scaling_model` is fitted to one
and two workers; its figures for more of them, for other networks and other machines, are predictions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from rich.table import Table

from charmnet.errors import CharmNetError
from pipelines.benchmarks.manifests import manifest_table, measure_manifest
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.predictions import COUNTS, prediction_table, predictions
from pipelines.benchmarks.processes import coordinator_cpu_seconds
from pipelines.benchmarks.results import Comparison
from pipelines.benchmarks.scaling_model import fitted_all_reduce
from pipelines.benchmarks.synthetic_data import write_pairs
from pipelines.ingest.execution import TaskResources, steps_per_block, stream_dataset
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.cluster import connect, disconnect
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

MEGABYTE = 1 << 20
_MODULE = "pipelines.benchmarks.scaling"
_ROWS = 512
_SIDE = 32  # pixels: blocks are counted, not looked at
_FLOOR_RANKS = 64  # of the fewest ranks that the floor is asked of
_FEWEST_STEPS = 8
_WARM_SHARE = 0.1  # of the blocks, before they count
_REDUCED_BYTES = (MEGABYTE, 64 * MEGABYTE)
_REDUCTIONS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `charmnet bench scaling`."""
    parser.add_argument(
        "--shards", type=_numbers, default=[1000, 10_000, 100_000], metavar="N,...", help="of manifests"
    )
    parser.add_argument(
        "--ranks", type=_numbers, default=[2, 16, 64, 256], metavar="N,...", help="who take blocks"
    )
    parser.add_argument("--workers", metavar="FILE", help="of `charmnet bench workers --json`: predict, too")
    parser.add_argument(
        "--batch", type=int, default=2, metavar="N", help="pairs of a rank's step (default: 2)"
    )
    parser.add_argument(
        "--floor",
        type=float,
        metavar="PAIRS",
        help=f"fail where a coordinator allows fewer pairs a second, from {_FLOOR_RANKS} ranks on",
    )
    parser.add_argument("--blocks", type=int, default=4096, help="that they take together (default: 4096)")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def measure(arguments: argparse.Namespace) -> Measurement:
    """Measure manifests, coordinators and the link; predict where the figures of workers are given.

    Raises:
        FloorError: a coordinator allows fewer pairs a second than `--floor` asks for.
    """
    manifests = [measure_manifest(shards) for shards in arguments.shards]
    coordinators = (
        coordinator_figures(arguments.ranks, arguments.blocks, arguments.batch) if arguments.ranks else []
    )
    check_floor(coordinators, arguments.floor)
    link = _all_reduce_figures()
    figures: dict[str, Any] = {"manifests": manifests, "coordinators": coordinators, "all_reduce": link}
    tables = [manifest_table(manifests), _coordinator_table(coordinators), _link_table(link)]
    if arguments.workers:
        figures["predictions"] = predictions(figures, Location.of(arguments.workers).read_json()["figures"])
        tables.append(prediction_table(figures["predictions"]))
    return Measurement(figures, tables, _comparisons(coordinators))


class FloorError(CharmNetError):
    """A figure is below the floor that was asked for."""


def check_floor(coordinators: Sequence[dict[str, float]], floor: float | None) -> None:
    """Raise FloorError where a coordinator of many ranks allows fewer pairs a second than the floor."""
    for figures in coordinators:
        if floor and figures["ranks"] >= _FLOOR_RANKS and figures["pairs_per_second"] < floor:
            raise FloorError(
                f"one domain's coordinator allows {figures['pairs_per_second']:,.0f} pairs/s at "
                f"{figures['ranks']} ranks ({1000 * figures['cpu_seconds_per_block']:.2f} CPU ms a block), "
                f"below --floor {floor:,.0f}"
            )


# -- the coordinator


def coordinator_figures(ranks: Sequence[int], blocks: int, pairs: int) -> list[dict[str, float]]:
    """Return the figures of a coordinator for each number of ranks, which take blocks as Ray's do."""
    connect()
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.open(write_pairs(Path(folder), _ROWS, _SIDE))
        figures = [_measure_coordinator(dataset, count, blocks, pairs) for count in ranks]
    disconnect()
    return figures


def _measure_coordinator(dataset: Dataset, ranks: int, blocks: int, pairs: int) -> dict[str, float]:
    """Return rates and the coordinator's CPU seconds a block, from a tenth of the blocks on."""
    steps = max(_FEWEST_STEPS, blocks // ranks)
    spec = StreamSpec(dataset, batch_size=pairs * ranks, size=_SIDE)
    execution = stream_dataset(spec, 0, steps, pairs, TaskResources())
    splits = execution.streaming_split(ranks, equal=False)
    blocks_per_rank = steps // steps_per_block(spec.batch_size)
    consumer = _BlockConsumer(ranks * (int(_WARM_SHARE * blocks_per_rank) + 1))
    threads = [threading.Thread(target=consumer.take, args=(split,), daemon=True) for split in splits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del execution, splits
    seconds = consumer.ended.seconds - consumer.started.seconds
    cpu_seconds = consumer.ended.cpu_seconds - consumer.started.cpu_seconds
    counted = consumer.count - consumer.warm
    return {
        "ranks": ranks,
        "steps": steps,
        "blocks_per_second": counted / seconds,
        "cpu_seconds_per_block": cpu_seconds / counted,
        "pairs_per_second": counted * pairs * steps_per_block(spec.batch_size) / cpu_seconds,
        "coordinator_busy": cpu_seconds / seconds,
    }


class _Instant(NamedTuple):
    """The clock and the coordinator's CPU time."""

    seconds: float
    cpu_seconds: float

    @classmethod
    def now(cls) -> _Instant:
        return cls(time.perf_counter(), coordinator_cpu_seconds())


class _BlockConsumer:
    """Counter of the blocks that many threads take.

    Attributes:
        started: when `warm` blocks had been taken.
        ended: when the last thread had taken all of its blocks.
    """

    def __init__(self, warm: int) -> None:
        self.warm = warm
        self.count = 0
        self.started = _Instant(0.0, 0.0)
        self.ended = _Instant(0.0, 0.0)
        self._lock = threading.Lock()

    def take(self, split: Any) -> None:
        """Take all of a rank's blocks, by reference only: a coordinator does not fetch what is in them."""
        for _ in split._to_ref_bundle_iterator()[0]:  # noqa: SLF001 - Ray has no public way to do so
            with self._lock:
                self.count += 1
                if self.count == self.warm:
                    self.started = _Instant.now()
        with self._lock:
            self.ended = _Instant.now()


# -- the link


def _all_reduce_figures() -> dict[str, Any]:
    """Return seconds of an all-reduce of two processes by its bytes, and the link that fits them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", _MODULE, folder]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
        other = subprocess.Popen([*command, "1"], env=environment, stdout=subprocess.DEVNULL)
        done = subprocess.run([*command, "0"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        other.wait()
    seconds = {float(size): value for size, value in json.loads(done.stdout).items()}
    link, latency = fitted_all_reduce(seconds)
    return {"seconds": seconds, "link_bytes_per_second": link, "latency_seconds": latency}


def reduce(folder: str, rank: str) -> dict[int, float]:
    """Return the seconds of the fastest of some all-reduces of each size, as one of the two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=int(rank), world_size=2)
    least_seconds = {}
    for size in _REDUCED_BYTES:
        values = torch.ones(size // 4)
        seconds = []
        for _ in range(_REDUCTIONS):
            dist.barrier()
            started = time.perf_counter()
            dist.all_reduce(values)
            seconds.append(time.perf_counter() - started)
        least_seconds[size] = min(seconds)
    dist.destroy_process_group()
    return least_seconds


# -- report


def _comparisons(coordinators: Sequence[dict[str, float]]) -> list[Comparison]:
    if len(coordinators) < 2:
        return []
    fewest = coordinators[0]
    most = coordinators[-1]
    return [
        Comparison(
            question=f"coordinator of one domain, CPU a block, {most['ranks']:.0f} ranks",
            values=(1000 * most["cpu_seconds_per_block"],),
            unit="ms",
            beside=f"{fewest['ranks']:.0f} ranks",
            beside_values=(1000 * fewest["cpu_seconds_per_block"],),
            ratios=(most["cpu_seconds_per_block"] / fewest["cpu_seconds_per_block"],),
        )
    ]


def _coordinator_table(coordinators: Sequence[dict[str, float]]) -> Table:
    columns = ("blocks/s", "its CPU ms a block", "its cores", "pairs/s that it allows")
    table = Table("ranks", *columns, title="one domain's coordinator")
    for figures in coordinators:
        table.add_row(
            f"{figures['ranks']}",
            f"{figures['blocks_per_second']:,.0f}",
            f"{1000 * figures['cpu_seconds_per_block']:.2f}",
            f"{figures['coordinator_busy']:.2f}",
            f"{figures['pairs_per_second']:,.0f}",
        )
    return table


def _link_table(link: dict[str, Any]) -> Table:
    table = Table("MB", "ms", title="all-reduce of two processes (gloo, loopback)")
    for size, seconds in link["seconds"].items():
        table.add_row(f"{size / 1e6:.0f}", f"{1000 * seconds:.1f}")
    return table


def draw(figures: dict[str, Any], figure: Figure) -> None:
    """Draw predicted throughput over one worker's, against the number of workers."""
    axes = figure.subplots()
    for name, cluster in figures["predictions"].items():
        rates = cluster["pairs_per_second"]
        axes.plot(cluster["workers"], [rate / rates[0] for rate in rates], "o-", label=name)
    axes.plot(COUNTS, COUNTS, ":", color="gray", label="as the workers")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="pairs/s over one worker's (predicted)")
    axes.legend()


if __name__ == "__main__":
    print(json.dumps(reduce(*sys.argv[1:])))
