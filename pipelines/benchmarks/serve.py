"""`charmnet serve` beside the network alone: pictures a second, latencies, CPU time, memory, overload.

  python -m pipelines.benchmarks.serve --model M --json serve.json

Starts the server, and asks it from this process as fast as it answers: first with a few clients, then so long
that its memory can be compared, last with several times as many clients as it takes requests. Each answer is
compared with the file that `charmnet harmonize` writes. Pictures are drawn ones, enlarged. CPU seconds of the
server's processes, less those that they use at rest, say what a picture costs whoever else uses the machine.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch
from rich.table import Table

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_mask
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.errors import CharmNetError
from charmnet.methods import HarmonizationMethod
from pipelines.benchmarks.http_load import Load, Question, ask, form
from pipelines.benchmarks.measurement import Measurement, show, this_machine
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.processes import cpu_seconds, read_tree
from pipelines.benchmarks.results import BenchmarkResult, Comparison
from pipelines.demo.examples import write_examples
from pipelines.runs.models import load_harmonization_model
from pipelines.runtime.console import console
from pipelines.runtime.ports import free_ports
from pipelines.runtime.retry import wait_until
from pipelines.runtime.signals import EXIT_STOPPED
from pipelines.services.service import is_healthy

_HOST = "127.0.0.1"
_START_SECONDS = 300
_WARM_UP = 20  # pictures
_PICTURES = 8
_MEBI = 1 << 20
_PARTS = 4  # of the pictures that memory is compared over
_CROWD = 4  # clients for each request that the server takes, for too much


@dataclass(frozen=True)
class Cost:
    """CPU seconds and memory of the server's processes, by kind.

    Attributes:
        time: when they were read, in seconds.
        seconds: since each process began.
        mebibytes: memory that is theirs alone.
    """

    time: float
    seconds: dict[str, float]
    mebibytes: dict[str, float]

    @classmethod
    def of(cls, server: int) -> Cost:
        """Return those of the process and its descendants."""
        seconds: dict[str, float] = defaultdict(float)
        mebibytes: dict[str, float] = defaultdict(float)
        for pid, command, spent, memory in read_tree(_reading, server):
            kind = "front" if pid == server else "replicas" if "ServeReplica" in command else "Ray's servers"
            seconds[kind] += spent
            mebibytes[kind] += memory / _MEBI
        return cls(time.monotonic(), dict(seconds), dict(mebibytes))

    def cores_since(self, earlier: Cost) -> dict[str, float]:
        """Return the cores that were used since then."""
        passed = self.time - earlier.time
        return {kind: (spent - earlier.seconds.get(kind, 0)) / passed for kind, spent in self.seconds.items()}


def _reading(process: psutil.Process) -> tuple[int, str, float, int]:
    memory = int(process.memory_full_info().uss)
    return process.pid, " ".join(process.cmdline()), cpu_seconds(process), memory


@dataclass(frozen=True)
class Sample:
    """A picture and its mask as files, and what the server is asked with them."""

    composite: EncodedPicture
    mask: EncodedPicture
    question: Question


def main() -> None:
    """Measure, print, and write the result where asked to."""
    arguments = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    method = load_harmonization_model(arguments.model)
    samples = make_samples(method, arguments.side)
    alone = milliseconds_alone(method, samples, arguments.seconds)
    with serving(arguments) as (url, pid):
        measurement = measure(url, pid, [sample.question for sample in samples], alone, arguments)
    machine = this_machine()
    show(measurement, machine)
    if arguments.json:
        result = BenchmarkResult(
            subject="serve",
            date=datetime.now(UTC).date(),
            command=f"python -m pipelines.benchmarks.serve --model M --side {arguments.side} --replicas "
            f"{arguments.replicas} --memory-pictures {arguments.memory_pictures}",
            machine=machine,
            comparisons=tuple(measurement.comparisons),
            figures=measurement.figures,
        )
        arguments.json.write_text(result.model_dump_json(indent=1) + "\n")


def make_samples(method: HarmonizationMethod, side: int) -> list[Sample]:
    """Return pictures of side x 3/4 side pixels that differ, as JPEG with a PNG mask."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        examples = [[path.read_bytes() for path in pair] for pair in write_examples(Path(folder))]
    samples = []
    for number in range(_PICTURES):
        picture, mask = examples[number % len(examples)]
        size = (side, side * 3 // 4)
        pixels = cv2.resize(decode_rgb(picture), size, interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(pixels + rng.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
        enlarged = cv2.resize(decode_mask(mask), size, interpolation=cv2.INTER_NEAREST)
        composite = EncodedPicture(encode_jpeg(noisy), f"{number}.jpg")
        mask_file = EncodedPicture(encode_mask(np.asarray(enlarged, np.uint8)), "m.png")
        expected = harmonize_encoded(method, composite, mask_file, "out.jpg").data
        files = {"composite": (composite.name, composite.data), "mask": (mask_file.name, mask_file.data)}
        samples.append(Sample(composite, mask_file, form(files, {"format": "jpeg"}, expected)))
    return samples


def milliseconds_alone(
    method: HarmonizationMethod, samples: Sequence[Sample], seconds: float
) -> dict[str, float]:
    """Return CPU milliseconds of a picture on one thread: of the network, and with its files around it."""
    inputs = torch.randn(1, 3, method.size, method.size), torch.ones(1, 1, method.size, method.size)
    network = method.color_maps if method.has_color_maps else method.harmonize
    in_turn = itertools.cycle(samples)

    def whole() -> None:
        sample = next(in_turn)
        harmonize_encoded(method, sample.composite, sample.mask, "out.jpg")

    return {
        "network alone": _cpu_milliseconds(lambda: network(*inputs), seconds / 2),
        "network with files, in this process": _cpu_milliseconds(whole, seconds / 2),
    }


def _cpu_milliseconds(work: Callable[[], object], seconds: float) -> float:
    work()
    count, started, spent = 0, time.monotonic(), time.process_time()
    while time.monotonic() - started < seconds:
        work()
        count += 1
    return (time.process_time() - spent) / count * 1e3


@contextmanager
def serving(arguments: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Run the server inside; yield where pictures are sent, and its process.

    Raises:
        CharmNetError: it did not start, or did not end as it should.
    """
    (port,) = free_ports([0], _HOST)
    options = ["--model", arguments.model, "--port", str(port), "--replicas", arguments.replicas]
    command = [sys.executable, "-m", "pipelines", "serve", *options, "--max-requests", str(arguments.most)]
    process = subprocess.Popen(command)
    try:
        wait_until(
            lambda: is_healthy(f"http://{_HOST}:{port}/healthz") or process.poll() is not None,
            _START_SECONDS,
            lambda: "the server does not answer",
        )
        if process.poll() is not None:
            raise CharmNetError("the server did not start; see its messages above")
        yield f"http://{_HOST}:{port}/harmonize", process.pid
    finally:
        process.terminate()
        status = process.wait(_START_SECONDS)
    if status != EXIT_STOPPED:
        raise CharmNetError(f"the server ended with status {status}; see its messages above")


def measure(
    url: str, pid: int, questions: Sequence[Question], alone: dict[str, float], arguments: argparse.Namespace
) -> Measurement:
    """Load the server in the three ways; return all figures."""
    ask(url, questions, 2, _START_SECONDS, _WARM_UP)
    load_before = os.getloadavg()[0]
    at_rest = Cost.of(pid)
    time.sleep(arguments.seconds)
    before, loads = Cost.of(pid), {}
    idle_cores = before.cores_since(at_rest)
    for clients in arguments.clients:
        loads[clients] = ask(url, questions, clients, arguments.seconds)
    after = Cost.of(pid)
    rate = sum(len(load.latencies) for load in loads.values()) / (after.time - before.time)
    busy_cores = after.cores_since(before)
    cpu = {kind: (busy_cores[kind] - idle_cores[kind]) / rate * 1e3 for kind in busy_cores}
    memory = [after]
    for _ in range(_PARTS):
        ask(url, questions, max(arguments.clients), math.inf, arguments.memory_pictures // _PARTS)
        memory.append(Cost.of(pid))
    overload = ask(url, questions, _CROWD * arguments.most, arguments.seconds)
    grown = {
        kind: (memory[-1].mebibytes[kind] - memory[1].mebibytes[kind])
        / (arguments.memory_pictures * (_PARTS - 1) / _PARTS)
        * 1e3
        for kind in after.seconds
    }
    best = max(loads.values(), key=lambda load: load.rate)
    figures = {
        "other_load": {"before": load_before, "after": os.getloadavg()[0]},
        "cpu_milliseconds_a_picture": {**alone, **{f"server: {kind}": value for kind, value in cpu.items()}},
        "cores_at_rest": idle_cores,
        "loads": {f"{clients} clients": _summary(load) for clients, load in loads.items()},
        "overload": {
            "clients": _CROWD * arguments.most,
            "taken_at_a_time": arguments.most,
            **_summary(overload),
        },
        "memory_mebibytes": [cost.mebibytes for cost in memory],
        "growth_mebibytes_per_1000_pictures": grown,
    }
    wide = f"a picture of {arguments.side}x{arguments.side * 3 // 4}"
    comparisons = [
        _compared(f"`charmnet serve`, CPU time of {whose}, {wide}", value, beside, alone[beside])
        for whose, value, beside in (
            ("all its processes", sum(cpu.values()), "network alone"),
            ("the replica", cpu["replicas"], "network with files, in this process"),
        )
    ]
    console.print(f"best: {best.rate:.1f} pictures/s", markup=False)
    return Measurement(figures, [_table(loads, overload), _costs(figures)], comparisons)


def _compared(question: str, value: float, beside: str, other: float) -> Comparison:
    return Comparison(
        question=question,
        values=(value,),
        unit="ms",
        beside=f"the {beside}",
        beside_values=(other,),
        ratios=(value / other,),
    )


def _summary(load: Load) -> dict[str, Any]:
    return {
        "pictures_per_second": round(load.rate, 2),
        "p50_seconds": round(load.percentile(0.5), 4),
        "p99_seconds": round(load.percentile(0.99), 4),
        "statuses": load.statuses,
        "wrong": load.wrong,
        "lost": load.lost,
        "without_retry_after": load.without_retry,
    }


def _table(loads: dict[int, Load], overload: Load) -> Table:
    table = Table("clients", "pictures/s", "p50 s", "p99 s", "200", "503", "other", "wrong", "lost")
    for name, load in [*((str(clients), load) for clients, load in loads.items()), ("overload", overload)]:
        others = sum(count for status, count in load.statuses.items() if status not in (200, 503))
        table.add_row(
            name,
            f"{load.rate:.1f}",
            f"{load.percentile(0.5):.3f}",
            f"{load.percentile(0.99):.3f}",
            *(f"{load.statuses.get(status, 0):,}" for status in (200, 503)),
            *(f"{count:,}" for count in (others, load.wrong, load.lost)),
        )
    return table


def _costs(figures: dict[str, Any]) -> Table:
    table = Table(
        "what", "CPU ms a picture", "cores at rest", "MiB at first", "MiB at last", "MiB per 1,000 pictures"
    )
    memory, growth = figures["memory_mebibytes"], figures["growth_mebibytes_per_1000_pictures"]
    for what, value in figures["cpu_milliseconds_a_picture"].items():
        kind = what.removeprefix("server: ")
        held = [memory[0][kind], memory[-1][kind], growth[kind]] if kind in growth else []
        rest = [f"{figures['cores_at_rest'][kind]:.3f}"] if held else []
        table.add_row(what, f"{value:.1f}", *rest, *(f"{number:.1f}" for number in held))
    return table


def _arguments() -> argparse.Namespace:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--model", required=True, metavar="M")
    parser.add_argument("--replicas", default="1", metavar="MIN:MAX")
    parser.add_argument("--side", type=int, default=1280, metavar="PIXELS", help="width of the pictures")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], metavar="N")
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="of each load")
    parser.add_argument("--memory-pictures", type=int, default=2000, metavar="N")
    parser.add_argument("--most", type=int, default=32, metavar="N", help="requests that the server takes")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
