"""`charmnet evaluate` and `charmnet harmonize` of many pictures against the network alone.

Both run on a Ray cluster of this machine over a data set in a store; pictures count from a quarter of them
on, so that the start is left out. Before and after, a process for each core (or GPU) makes forward passes,
with as many pictures at a time and on tensors in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from matplotlib.figure import Figure
from rich.table import Table

from charmnet.blending import Adjustment
from charmnet.methods import CharmNetMethod, HarmonizationMethod
from charmnet.networks.charmnet import Head
from charmnet.vocabulary import Domain
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.plot import draw_bars
from pipelines.benchmarks.processes import CpuTimes
from pipelines.benchmarks.results import Comparison
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.evaluation.datasets import score_dataset
from pipelines.harmonization.distributed import harmonize_pictures
from pipelines.harmonization.files import Folders
from pipelines.runtime.cluster import connect, disconnect
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING

Network = dict[str, Any]
"""Options of the network: width and head."""

_MODULE = "pipelines.benchmarks.evaluate"

_BATCHES = {"evaluate": 8, "harmonize": 1}
"""Pictures that each command gives to the network at a time."""

_WARM_SHARE = 0.25
_LAST_SHARE = 0.9  # not every process has part in what comes after it
_FORWARD_SECONDS = 10.0
_FEWEST_PICTURES = 500  # results come in lumps, and of few pictures nearly all in one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `charmnet bench evaluate`."""
    parser.add_argument(
        "--data", metavar="URI", required=True, help=f"data set of pairs, {_FEWEST_PICTURES} or more"
    )
    parser.add_argument("--scratch", metavar="URI", required=True, help="where pictures are written")
    parser.add_argument("--width", type=int, default=64, help="of the network (default: %(default)s)")
    parser.add_argument(
        "--head",
        choices=get_args(Head),
        default="pixels",
        help="of the network, which works at 256x256 (default: %(default)s)",
    )


def measure(arguments: argparse.Namespace) -> Measurement:
    """Measure the network alone, both commands, and the network alone again.

    Raises:
        ValueError: the data set holds scenes, or too few pictures.
    """
    dataset = _open_pairs(arguments.data)
    network = {"width": arguments.width, "head": arguments.head}
    method = CharmNetMethod(**network, seed=0)
    before = {name: _measure_forward(network, size) for name, size in _BATCHES.items()}
    connect()
    scratch = Location.of(arguments.scratch) / uuid.uuid4().hex
    try:
        pairs = list(_write_pictures(dataset, scratch / "in"))
        timings = {
            "evaluate": time_results(score_dataset(method, dataset, EVERYTHING), len(pairs)),
            "harmonize": time_results(_harmonize(method, scratch, pairs), len(pairs)),
        }
    finally:
        disconnect()
        scratch.delete()
    after = {name: _measure_forward(network, size) for name, size in _BATCHES.items()}
    figures = {
        name: evaluation_figures(timings[name], [before[name], after[name]]) | {"batch": size}
        for name, size in _BATCHES.items()
    }
    return Measurement(figures, [_table(figures, network)], _comparisons(figures, network))


def _open_pairs(uri: str) -> Dataset:
    """Open a data set.

    Raises:
        ValueError: it holds scenes, or too few pictures for a rate.
    """
    dataset = Dataset.open(uri)
    if dataset.manifest.kind is not RowKind.PAIR:
        raise ValueError(f"{uri} holds scenes; expected a data set of pairs")
    if dataset.manifest.rows < _FEWEST_PICTURES:
        raise ValueError(
            f"{uri} holds {dataset.manifest.rows} pairs; expected {_FEWEST_PICTURES} or more, "
            "as results come in lumps"
        )
    return dataset


def _harmonize(
    method: HarmonizationMethod, scratch: Location, pairs: Sequence[tuple[str, str]]
) -> Iterator[Any]:
    folders = Folders(scratch / "in", scratch / "in", scratch / "out")
    for outcome in harmonize_pictures(method, folders, list(pairs), Adjustment()):
        if outcome.problem:
            raise SystemExit(f"{outcome.path}: {outcome.problem}")
        yield outcome


def _write_pictures(dataset: Dataset, folder: Location) -> Iterator[tuple[str, str]]:
    """Write composites and masks of a data set as files, and yield their names."""
    for shard, group, _ in dataset.manifest.groups():
        for number, row in enumerate(dataset.read_row_group(shard, group).to_pylist()):
            name = f"{shard}-{group}-{number}"
            (folder / f"{name}.jpg").write_bytes(row["composite"])
            (folder / f"{name}.mask.png").write_bytes(row["foreground_mask"])
            yield f"{name}.jpg", f"{name}.mask.png"


@dataclass
class PictureTimings:
    """Times of a command over many pictures.

    Attributes:
        started: in seconds of the clock.
        finished: the same for each picture, in order.
        cpu_seconds: CPU seconds a picture, by kind of process, over the pictures that count.
    """

    started: float = 0.0
    finished: list[float] = field(default_factory=list)
    cpu_seconds: dict[str, float] = field(default_factory=dict)


def time_results(results: Iterable[Any], count: int) -> PictureTimings:
    """Take all of `count` results, one for each picture, and note the times."""
    timings = PictureTimings(started=time.perf_counter())
    first, last = counted_range(count)
    driver_seconds = time.process_time()
    before = CpuTimes({})
    for number, _ in enumerate(results):
        timings.finished.append(time.perf_counter())
        if number == first:
            driver_seconds = time.process_time()
            before = CpuTimes.now()
        if number == last:
            seconds_by_kind = CpuTimes.now().since(before)
            seconds_by_kind["driver"] = time.process_time() - driver_seconds
            timings.cpu_seconds = {
                kind: seconds / (last - first) for kind, seconds in seconds_by_kind.items()
            }
    return timings


def counted_range(count: int) -> tuple[int, int]:
    """Return the numbers of the first and the last picture that count."""
    return int(_WARM_SHARE * (count - 1)), int(_LAST_SHARE * (count - 1))


def evaluation_figures(timings: PictureTimings, forward: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return rates and CPU times of a command and of the network alone.

    Args:
        timings: of the command.
        forward: figures of `measure_forward` before and after.
    """
    finished = timings.finished
    first, last = counted_range(len(finished))
    rate = (last - first) / (finished[last] - finished[first])
    alone = sum(each["pictures_per_second"] for each in forward) / len(forward)
    alone_cpu = sum(each["cpu_seconds_a_picture"] for each in forward) / len(forward)
    return {
        "pictures": len(finished),
        "pictures_per_second": rate,
        "forward": list(forward),
        "forward_pictures_per_second": alone,
        "ratio": rate / alone,
        "cpu_seconds_a_picture": timings.cpu_seconds,
        "cpu_ratio": alone_cpu / sum(timings.cpu_seconds.values()),
        "seconds_to_the_first": finished[0] - timings.started,
        "seconds": finished[-1] - timings.started,
    }


def _measure_forward(network: Network, batch: int) -> dict[str, float]:
    """Return the figures of `measure_forward` of a process for each GPU or, without one, each core."""
    command = [sys.executable, "-m", _MODULE, json.dumps(network), str(batch)]
    devices = range(torch.cuda.device_count() or len(os.sched_getaffinity(0)))
    processes = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True) for number in devices
    ]
    figures = [json.loads(process.communicate()[0]) for process in processes]
    return {
        "pictures_per_second": sum(each["pictures_per_second"] for each in figures),
        "cpu_seconds_a_picture": sum(each["cpu_seconds_a_picture"] for each in figures) / len(figures),
    }


def measure_forward(network: Network, batch: int, gpu: int) -> dict[str, float]:
    """Return pictures per second and CPU seconds of a picture, of the network on one thread or a GPU.

    Args:
        network: options of the network.
        batch: pictures at a time.
        gpu: number of the GPU, where there is one.
    """
    torch.set_num_threads(1)
    device = f"cuda:{gpu}" if torch.cuda.is_available() else "cpu"
    method = CharmNetMethod(**network, seed=0).to(device)
    pictures = batches_in_memory(batch)[Domain.REAL].to(device)
    method.harmonize(pictures.composite, pictures.foreground_mask).cpu()
    started = time.perf_counter()
    cpu_started = time.process_time()
    count = 0
    while time.perf_counter() - started < _FORWARD_SECONDS:
        method.harmonize(pictures.composite, pictures.foreground_mask).cpu()
        count += batch
    return {
        "pictures_per_second": count / (time.perf_counter() - started),
        "cpu_seconds_a_picture": (time.process_time() - cpu_started) / count,
    }


# -- report


def _comparisons(figures: dict[str, Any], network: Network) -> list[Comparison]:
    return [
        Comparison(
            question=f"charmnet {name}, head={network['head']}, {command['pictures']:,} pictures",
            values=(command["pictures_per_second"],),
            unit="pictures/s",
            beside=f"the network alone, {command['batch']} at a time",
            beside_values=(command["forward_pictures_per_second"],),
            ratios=(command["ratio"],),
        )
        for name, command in figures.items()
    ]


def draw(figures: dict[str, Any], figure: Figure) -> None:
    """Draw pictures per second of each command beside the network alone."""
    rates = {}
    for name, command in figures.items():
        rates[f"the network, {command['batch']} at a time"] = command["forward_pictures_per_second"]
        rates[f"charmnet {name}"] = command["pictures_per_second"]
    draw_bars(figure.subplots(), rates, "pictures per second")


def _table(figures: dict[str, Any], network: Network) -> Table:
    rates = ("pictures", "to the first, s", "pictures/s", "network alone", "ratio")
    costs = ("CPU ms a picture", "network alone", "ratio")
    title = f"evaluate and harmonize, width {network['width']}, head={network['head']}"
    table = Table("", *rates, *costs, title=title)
    for name, command in figures.items():
        table.add_row(
            name,
            f"{command['pictures']}",
            f"{command['seconds_to_the_first']:.1f}",
            f"{command['pictures_per_second']:.1f}",
            f"{command['forward_pictures_per_second']:.1f}",
            f"{command['ratio']:.2f}",
            f"{1000 * sum(command['cpu_seconds_a_picture'].values()):.1f}",
            f"{1000 * command['forward'][0]['cpu_seconds_a_picture']:.1f}",
            f"{command['cpu_ratio']:.2f}",
        )
    return table


if __name__ == "__main__":
    print(json.dumps(measure_forward(*map(json.loads, sys.argv[1:]))))
