"""Two workers of one thread each against one, tensors in memory.

Processes take turns: one alone; two, each for itself (the most that the machine can give); and two with their
gradients averaged, as in `charmnet train`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from rich.table import Table

from charmnet.methods import CharmNetMethod
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.plot import draw_bars
from pipelines.benchmarks.results import Comparison
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.training.parallel import data_parallel

_MODULE = "pipelines.benchmarks.workers"
_WORKERS = 2
_WARM_UP_STEPS = 2
_ARGUMENTS = ("batch", "width", "precision", "rounds", "steps")
_ONE = "one worker"
_APART = "two, each for itself"
_TOGETHER = "two, gradients averaged"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `charmnet bench workers`."""
    parser.add_argument("--batch", type=int, default=4, help="pairs of a worker's step (default: 4)")
    parser.add_argument("--width", type=int, default=64, help="of the networks (default: %(default)s)")
    parser.add_argument("--precision", default="float32", help="float32 or bf16 (default: float32)")
    parser.add_argument("--rounds", type=int, default=5, help="turns for each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="steps a turn (default: %(default)s)")


class TurnTimes(NamedTuple):
    """Mean seconds of a step until the last worker has made it, and a worker's CPU seconds for it."""

    seconds: float
    cpu_seconds: float


def measure(arguments: argparse.Namespace) -> Measurement:
    """Have one and two workers make steps in turns."""
    given = {name: getattr(arguments, name) for name in _ARGUMENTS}
    with tempfile.TemporaryDirectory() as folder:
        apart = [_StepProcess(rank, None, given) for rank in range(_WORKERS)]
        together = [_StepProcess(rank, folder, given) for rank in range(_WORKERS)]
        workers_by_turn = {_ONE: apart[:1], _APART: apart, _TOGETHER: together}
        for workers in workers_by_turn.values():
            _take_turn(workers, _WARM_UP_STEPS)
        times: dict[str, list[TurnTimes]] = {name: [] for name in workers_by_turn}
        for _ in range(arguments.rounds):
            for name, workers in workers_by_turn.items():
                times[name].append(_take_turn(workers, arguments.steps))
        for worker in (*apart, *together):
            worker.end()
    method = CharmNetMethod(width=arguments.width)
    gradient_bytes = sum(
        parameter.numel() * parameter.element_size()
        for module in method.modules.values()
        for parameter in module.parameters()
    )
    figures = worker_figures(times, arguments.batch)
    figures |= {"arguments": given, "gradient_bytes": gradient_bytes}
    return Measurement(figures, [_table(figures)], _comparisons(figures))


class _StepProcess:
    """Process on a core of its own that makes steps on request.

    Args:
        rank: of the worker.
        folder: where the workers meet; None for a worker by itself.
        given: arguments of the benchmark.
    """

    def __init__(self, rank: int, folder: str | None, given: Mapping[str, Any]) -> None:
        command = [sys.executable, "-m", _MODULE, json.dumps([rank, folder, given])]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, steps: int) -> None:
        """Request a number of steps."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()

    def wait(self) -> float:
        """Wait until the steps are made and return their CPU seconds.

        Raises:
            SystemExit: the process failed; its error was shown.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker of the benchmark failed; its error stands above")
        return float(line)

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def _take_turn(workers: Sequence[_StepProcess], steps: int) -> TurnTimes:
    started = time.perf_counter()
    for worker in workers:
        worker.start(steps)
    cpu_seconds = sum(worker.wait() for worker in workers) / len(workers)
    return TurnTimes((time.perf_counter() - started) / steps, cpu_seconds / steps)


def serve(rank: int, folder: str | None, given: Mapping[str, Any]) -> None:
    """Make as many steps as each line of standard input says, and print their CPU seconds."""
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    method = CharmNetMethod(width=given["width"], precision=given["precision"], seed=0)
    if folder:
        rendezvous = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=_WORKERS)
        method.distribute(data_parallel)
    batches = batches_in_memory(given["batch"], seed=rank)
    for line in sys.stdin:
        cpu_started = time.process_time()
        for _ in range(int(line)):
            method.update(batches)
        print(time.process_time() - cpu_started, flush=True)
    if folder:
        dist.destroy_process_group()


def worker_figures(times: Mapping[str, Sequence[tuple[float, float]]], batch: int) -> dict[str, Any]:
    """Return pairs per second by turn, and their ratios to one worker's: medians of the rounds.

    `cpu_ratio` is the ratio if nothing were waited for: from the workers' CPU seconds.

    Args:
        times: `TurnTimes` of each round by turn.
        batch: pairs of a worker's step.
    """
    one = np.array(times[_ONE])
    turns = {}
    for name, rounds in times.items():
        workers = 1 if name == _ONE else _WORKERS
        ratios = workers * one / np.array(rounds)
        seconds, cpu_seconds = np.transpose(rounds).tolist()
        turns[name] = {
            "pairs_per_second": workers * batch / float(np.median(seconds)),
            "ratio": float(np.median(ratios[:, 0])),
            "cpu_ratio": float(np.median(ratios[:, 1])),
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
        }
    return {"turns": turns}


def _comparisons(figures: dict[str, Any]) -> list[Comparison]:
    one = figures["turns"][_ONE]
    together = figures["turns"][_TOGETHER]
    return [
        Comparison(
            question=f"two workers, gradients averaged, {figures['arguments']['precision']}",
            values=(together["pairs_per_second"],),
            unit="pairs/s",
            beside=_ONE,
            beside_values=(one["pairs_per_second"],),
            ratios=(together["ratio"],),
        )
    ]


def draw(figures: dict[str, Any], figure: Figure) -> None:
    """Draw pairs per second of each turn over one worker's."""
    ratios = {name: turn["ratio"] for name, turn in figures["turns"].items()}
    draw_bars(figure.subplots(), ratios, "times one worker")


def _table(figures: dict[str, Any]) -> Table:
    given = figures["arguments"]
    title = f"workers: width {given['width']}, {given['precision']}, {given['batch']} pairs a worker"
    table = Table("", "pairs/s", "ratio", "by CPU seconds", title=title)
    for name, turn in figures["turns"].items():
        table.add_row(
            name, f"{turn['pairs_per_second']:.2f}", f"{turn['ratio']:.2f}", f"{turn['cpu_ratio']:.2f}"
        )
    return table


if __name__ == "__main__":
    serve(*json.loads(sys.argv[1]))
