"""`charmnet evaluate` and `charmnet harmonize` of many pictures against the network alone.

Both run on a Ray cluster of this machine over a data set in a store; a picture counts from a quarter of them
on, so that the start is told apart. Before and after, a process for each core (or GPU) makes forward passes,
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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.table import Table

from charmnet.methods import CharmNetMethod, Method
from charmnet.vocabulary import Domain
from pipelines.benchmarks.plot import bars
from pipelines.benchmarks.processes import CpuTimes
from pipelines.benchmarks.report import Report
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING

_BATCHES = {"evaluate": 8, "harmonize": 1}
"""Pictures that each command gives to the network at a time."""

_WARM_SHARE, _LAST_SHARE = 0.25, 0.9  # what comes after that, not every process has part in
_FORWARD_SECONDS = 10.0
_FEWEST_PICTURES = 500  # results come in lumps, and of few pictures nearly all in one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="URI", required=True, help=f"data set of pairs, {_FEWEST_PICTURES} or more"
    )
    parser.add_argument("--scratch", metavar="URI", required=True, help="where pictures are written")
    parser.add_argument("--width", type=int, default=64, help="of the network (default: %(default)s)")


def measure(arguments: argparse.Namespace) -> Report:
    from pipelines.runtime.cluster import connect

    dataset = _opened(arguments.data)
    method = CharmNetMethod(width=arguments.width, seed=0)
    before = {name: _forward_apart(arguments.width, size) for name, size in _BATCHES.items()}
    connect()
    import ray

    scratch = Location.of(arguments.scratch) / uuid.uuid4().hex
    try:
        pairs = list(_write_pictures(dataset, scratch / "in"))
        courses = {
            "evaluate": course_of(_evaluated(method, dataset), len(pairs)),
            "harmonize": course_of(_harmonized(method, scratch, pairs), len(pairs)),
        }
    finally:
        ray.shutdown()
        scratch.delete()
    after = {name: _forward_apart(arguments.width, size) for name, size in _BATCHES.items()}
    figures = {
        name: evaluation_figures(courses[name], [before[name], after[name]]) | {"batch": size}
        for name, size in _BATCHES.items()
    }
    return Report(figures, [_table(figures, arguments.width)])


def _opened(uri: str) -> Dataset:
    """
    Raises:
        ValueError: it holds scenes, or too few pictures to tell a rate by.
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


def _evaluated(method: Method, dataset: Dataset) -> Iterator[Any]:
    from pipelines.evaluation.distributed import score_dataset

    return score_dataset(method, dataset, EVERYTHING)


def _harmonized(method: Method, scratch: Location, pairs: list[tuple[str, str]]) -> Iterator[Any]:
    from pipelines.harmonization.distributed import harmonize_pictures

    for outcome in harmonize_pictures(method, scratch / "in", scratch / "out", pairs):
        if outcome.problem:
            raise SystemExit(f"{outcome.path}: {outcome.problem}")
        yield outcome


def _write_pictures(dataset: Dataset, place: Location) -> Iterator[tuple[str, str]]:
    """Composites and masks of a data set of pairs as files; their names."""
    for shard, group, _ in dataset.manifest.groups():
        for number, row in enumerate(dataset.read_row_group(shard, group).to_pylist()):
            name = f"{shard}-{group}-{number}"
            (place / f"{name}.jpg").write_bytes(row["composite"])
            (place / f"{name}.mask.png").write_bytes(row["foreground_mask"])
            yield f"{name}.jpg", f"{name}.mask.png"


@dataclass
class Course:
    """How a command went.

    Attributes:
        began: in seconds. done: when each picture was.
        cpu_seconds: of a picture, by kind of process, between the two shares of them that count.
    """

    began: float = 0.0
    done: list[float] = field(default_factory=list)
    cpu_seconds: dict[str, float] = field(default_factory=dict)


def course_of(results: Iterable[Any], count: int) -> Course:
    """
    Args:
        results: of which there are `count`, one for each picture.
    """
    course, first, last = Course(time.perf_counter()), *counted(count)
    own, before = time.process_time(), CpuTimes({})
    for number, _ in enumerate(results):
        course.done.append(time.perf_counter())
        if number == first:
            own, before = time.process_time(), CpuTimes.now()
        if number == last:
            spent = CpuTimes.now().since(before) | {"driver": time.process_time() - own}
            course.cpu_seconds = {kind: seconds / (last - first) for kind, seconds in spent.items()}
    return course


def counted(count: int) -> tuple[int, int]:
    """The pictures between which the rate is taken, by their numbers."""
    return int(_WARM_SHARE * (count - 1)), int(_LAST_SHARE * (count - 1))


def evaluation_figures(course: Course, forward: list[dict[str, float]]) -> dict[str, Any]:
    """
    Args:
        forward: what `forward` found before and after.
    """
    done = course.done
    first, last = counted(len(done))
    rate = (last - first) / (done[last] - done[first])
    alone, alone_cpu = (sum(each[name] for each in forward) / len(forward) for name in forward[0])
    return {
        "pictures": len(done),
        "pictures_per_second": rate,
        "forward": forward,
        "forward_pictures_per_second": alone,
        "ratio": rate / alone,
        "cpu_seconds_a_picture": course.cpu_seconds,
        "cpu_ratio": alone_cpu / sum(course.cpu_seconds.values()),
        "seconds_to_the_first": done[0] - course.began,
        "seconds": done[-1] - course.began,
    }


def _forward_apart(width: int, batch: int) -> dict[str, float]:
    """`forward` of a process for each GPU or, where there is none, each core, together."""
    command = [sys.executable, "-m", __name__, str(width), str(batch)]
    devices = range(torch.cuda.device_count() or len(os.sched_getaffinity(0)))
    processes = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True) for number in devices
    ]
    found = [json.loads(process.communicate()[0]) for process in processes]
    return {
        "pictures_per_second": sum(each["pictures_per_second"] for each in found),
        "cpu_seconds_a_picture": sum(each["cpu_seconds_a_picture"] for each in found) / len(found),
    }


def forward(width: int, batch: int, number: int) -> dict[str, float]:
    """Pictures per second, and CPU seconds of a picture, of the network alone on one thread or a GPU.

    Args:
        number: of the GPU.
    """
    torch.set_num_threads(1)
    device = f"cuda:{number}" if torch.cuda.is_available() else "cpu"
    method, given = CharmNetMethod(width=width, seed=0).to(device), batches_in_memory(batch)[Domain.REAL]
    given = given.to(device)
    method.harmonize(given.composite, given.foreground_mask).cpu()
    started, spent, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < _FORWARD_SECONDS:
        method.harmonize(given.composite, given.foreground_mask).cpu()  # a result is to leave the device
        count += batch
    return {
        "pictures_per_second": count / (time.perf_counter() - started),
        "cpu_seconds_a_picture": (time.process_time() - spent) / count,
    }


def draw(figures: dict[str, Any], axes: Any) -> None:
    """Pictures per second of each command beside the network's alone."""
    rates = {}
    for name, found in figures.items():
        rates[f"the network, {found['batch']} at a time"] = found["forward_pictures_per_second"]
        rates[f"charmnet {name}"] = found["pictures_per_second"]
    bars(axes, rates, "pictures per second")


def _table(figures: dict[str, Any], width: int) -> Table:
    rates = ("pictures", "to the first, s", "pictures/s", "network alone", "ratio")
    costs = ("CPU ms a picture", "network alone", "ratio")
    table = Table("", *rates, *costs, title=f"evaluate and harmonize, width {width}")
    for name, found in figures.items():
        table.add_row(
            name,
            f"{found['pictures']}",
            f"{found['seconds_to_the_first']:.1f}",
            f"{found['pictures_per_second']:.1f}",
            f"{found['forward_pictures_per_second']:.1f}",
            f"{found['ratio']:.2f}",
            f"{1000 * sum(found['cpu_seconds_a_picture'].values()):.1f}",
            f"{1000 * found['forward'][0]['cpu_seconds_a_picture']:.1f}",
            f"{found['cpu_ratio']:.2f}",
        )
    return table


if __name__ == "__main__":
    print(json.dumps(forward(*map(int, sys.argv[1:]))))
