"""What grows with a cluster or with its data and has one process to do it, at the size of a cluster.

Manifests of up to a hundred thousand shards are loaded, shipped and planned; a coordinator hands out the
blocks of up to hundreds of workers, who take them and do nothing with them; and two processes average arrays
of two sizes. With what `charmnet bench workers --json` wrote, the model of `scaling_model` is fitted to one
and two workers; what it says of more, on other networks and with other machines, is a prediction.
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
from typing import Any

import torch
import torch.distributed as dist
from rich.table import Table

from pipelines.benchmarks.manifests import manifest_apart, manifest_table
from pipelines.benchmarks.predictions import COUNTS, prediction_table, predictions
from pipelines.benchmarks.processes import coordinator_cpu_seconds
from pipelines.benchmarks.report import Report
from pipelines.benchmarks.scaling_model import fitted_all_reduce
from pipelines.benchmarks.synthetic_data import write_pairs
from pipelines.ingest.lanes import TaskResources, steps_per_block, stream_dataset
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

MEGABYTE = 1 << 20
_TINY_ROWS = 512
_PICTURE = 32  # pixels: blocks are counted, not looked at
_REDUCED = (MEGABYTE, 64 * MEGABYTE)
_REDUCTIONS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shards", type=_numbers, default=[1000, 10_000, 100_000], metavar="N,...", help="of manifests"
    )
    parser.add_argument(
        "--ranks", type=_numbers, default=[2, 16, 64, 256], metavar="N,...", help="who take blocks"
    )
    parser.add_argument("--workers", metavar="FILE", help="of `charmnet bench workers --json`: predict, too")
    parser.add_argument("--blocks", type=int, default=4096, help="that they take together (default: 4096)")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def measure(arguments: argparse.Namespace) -> Report:
    manifests = [manifest_apart(shards) for shards in arguments.shards]
    coordinators = coordinator_figures(arguments.ranks, arguments.blocks) if arguments.ranks else []
    link = _all_reduce_figures()
    figures: dict[str, Any] = {"manifests": manifests, "coordinators": coordinators, "all_reduce": link}
    tables = [manifest_table(manifests), _coordinator_table(coordinators), _link_table(link)]
    if arguments.workers:
        figures["predictions"] = predictions(figures, Location.of(arguments.workers).read_json()["figures"])
        tables.append(prediction_table(figures["predictions"]))
    return Report(figures, tables)


# -- the coordinator


def coordinator_figures(ranks: Sequence[int], blocks: int) -> list[dict[str, float]]:
    """A coordinator of a stream and so many ranks, who ask for blocks as Ray's iterators do."""
    from pipelines.runtime.cluster import connect, prepare_environment

    prepare_environment()
    connect()
    import ray

    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.open(write_pairs(Path(folder), _TINY_ROWS, _PICTURE))
        found = [_coordinated(dataset, count, blocks) for count in ranks]
    ray.shutdown()
    return found


def _coordinated(dataset: Dataset, ranks: int, blocks: int) -> dict[str, float]:
    """Seconds and the coordinator's CPU seconds a block, between a tenth of them and the last."""
    steps = max(8, blocks // ranks)
    spec = StreamSpec(dataset, batch_size=2 * ranks, size=_PICTURE)
    execution = stream_dataset(spec, 0, steps, 2, TaskResources())
    splits = execution.streaming_split(ranks, equal=False)
    blocks = steps // steps_per_block(spec.batch_size)  # of a rank
    taken = _Taken(ranks * (blocks // 10 + 1))
    threads = [threading.Thread(target=taken.take, args=(split,), daemon=True) for split in splits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del execution, splits
    seconds, cpu = taken.seconds, taken.cpu_seconds
    counted = taken.count - taken.warm
    return {
        "ranks": ranks,
        "steps": steps,
        "blocks_per_second": counted / seconds,
        "cpu_seconds_per_block": cpu / counted,
        "coordinator_busy": cpu / seconds,
    }


class _Taken:
    """Counts blocks that many threads take; looks at clock and CPU when `warm` are taken, and at the end."""

    def __init__(self, warm: int) -> None:
        self.warm, self.count, self.lock = warm, 0, threading.Lock()
        self.began = self.ended = (0.0, 0.0)

    def take(self, split: Any) -> None:
        """Asks for references alone: what is in the blocks is the worker's own affair."""
        for _ in split._to_ref_bundle_iterator()[0]:
            with self.lock:
                self.count += 1
                if self.count == self.warm:
                    self.began = time.perf_counter(), coordinator_cpu_seconds()
        with self.lock:
            self.ended = time.perf_counter(), coordinator_cpu_seconds()

    @property
    def seconds(self) -> float:
        return self.ended[0] - self.began[0]

    @property
    def cpu_seconds(self) -> float:
        return self.ended[1] - self.began[1]


# -- the link


def _all_reduce_figures() -> dict[str, Any]:
    """Seconds of an all-reduce of two processes by its bytes, and the link that fits them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, folder]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
        other = subprocess.Popen([*command, "1"], env=environment, stdout=subprocess.DEVNULL)
        done = subprocess.run([*command, "0"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        other.wait()
    seconds = {float(size): value for size, value in json.loads(done.stdout).items()}
    link, latency = fitted_all_reduce(seconds)
    return {"seconds": seconds, "link_bytes_per_second": link, "latency_seconds": latency}


def reduce(folder: str, rank: str) -> dict[int, float]:
    """The fastest of some all-reduces of each size; the other of the two processes does the same."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=int(rank), world_size=2)
    found = {}
    for size in _REDUCED:
        values, seconds = torch.ones(size // 4), []
        for _ in range(_REDUCTIONS):
            dist.barrier()
            started = time.perf_counter()
            dist.all_reduce(values)
            seconds.append(time.perf_counter() - started)
        found[size] = min(seconds)
    dist.destroy_process_group()
    return found


# -- what is told


def _coordinator_table(coordinators: Sequence[dict[str, float]]) -> Table:
    columns = ("blocks/s", "its CPU ms a block", "its cores")
    table = Table("ranks", *columns, title="one domain's coordinator")
    for found in coordinators:
        table.add_row(
            f"{found['ranks']}",
            f"{found['blocks_per_second']:,.0f}",
            f"{1000 * found['cpu_seconds_per_block']:.2f}",
            f"{found['coordinator_busy']:.2f}",
        )
    return table


def _link_table(link: dict[str, Any]) -> Table:
    table = Table("MB", "ms", title="all-reduce of two processes (gloo, loopback)")
    for size, seconds in link["seconds"].items():
        table.add_row(f"{size / 1e6:.0f}", f"{1000 * seconds:.1f}")
    return table


def draw(figures: dict[str, Any], axes: Any) -> None:
    """Predicted throughput against workers, over one worker's."""
    for name, found in figures["predictions"].items():
        rates = found["pairs_per_second"]
        axes.plot(found["workers"], [rate / rates[0] for rate in rates], "o-", label=name)
    axes.plot(COUNTS, COUNTS, ":", color="gray", label="as the workers")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="pairs/s over one worker's (predicted)")
    axes.legend()


if __name__ == "__main__":
    print(json.dumps(reduce(*sys.argv[1:])))
