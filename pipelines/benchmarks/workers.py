"""Two workers of one thread each against one, tensors in memory.

The two processes run in turns: the first alone; both, each for itself (what the machine can give at most);
and both with their gradients averaged, as `charmnet train` has it.
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
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rich.table import Table

from charmnet.methods import CharmNetMethod
from pipelines.benchmarks.plot import bars
from pipelines.benchmarks.report import Report
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.training.parallel import data_parallel

_WORKERS = 2
_WARM_UP_STEPS = 2
_GIVEN = ("batch", "width", "precision", "rounds", "steps")
_TURNS = ("one worker", "two, each for itself", "two, gradients averaged")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=4, help="pairs of a worker's step (default: 4)")
    parser.add_argument("--width", type=int, default=64, help="of the networks (default: %(default)s)")
    parser.add_argument("--precision", default="float32", help="float32 or bf16 (default: float32)")
    parser.add_argument("--rounds", type=int, default=5, help="turns for each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="steps a turn (default: %(default)s)")


def measure(arguments: argparse.Namespace) -> Report:
    given = {name: getattr(arguments, name) for name in _GIVEN}
    with tempfile.TemporaryDirectory() as folder:
        alone = [_Worker(rank, None, given) for rank in range(_WORKERS)]
        together = [_Worker(rank, folder, given) for rank in range(_WORKERS)]
        turns = dict(zip(_TURNS, (alone[:1], alone, together), strict=True))
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
        for turn in range(arguments.rounds + 1):
            for name, workers in turns.items():
                passed = _turn(workers, arguments.steps if turn else _WARM_UP_STEPS)
                seconds[name] += [passed] * bool(turn)
        for worker in (*alone, *together):
            worker.end()
    method = CharmNetMethod(width=arguments.width)
    sizes = [p.numel() * p.element_size() for m in method.modules.values() for p in m.parameters()]
    figures = worker_figures(seconds, arguments.batch) | {"arguments": given, "gradient_bytes": sum(sizes)}
    return Report(figures, [_table(figures)])


class _Worker:
    """A process on a core of its own that makes steps when it is told to.

    Args:
        folder: where the workers meet; without one it works for itself.
    """

    def __init__(self, rank: int, folder: str | None, given: Mapping[str, Any]) -> None:
        command = [sys.executable, "-m", __name__, json.dumps([rank, folder, given])]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def tell(self, steps: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()

    def wait(self) -> float:
        """Until the steps are made; the CPU seconds that they took.

        Raises:
            SystemExit: the process failed, and has said why.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker of the benchmark failed")
        return float(line)

    def end(self) -> None:
        self.process.communicate()


def _turn(workers: Sequence[_Worker], steps: int) -> tuple[float, float]:
    """Of a step on average: seconds until the last has ended, and a worker's CPU seconds."""
    started = time.perf_counter()
    for worker in workers:
        worker.tell(steps)
    spent = sum(worker.wait() for worker in workers) / len(workers)
    return (time.perf_counter() - started) / steps, spent / steps


def work(rank: int, folder: str | None, given: Mapping[str, Any]) -> None:
    """What such a process does: for each number that it reads as many steps, and their CPU seconds."""
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    method = CharmNetMethod(width=given["width"], precision=given["precision"], seed=0)
    if folder:
        place = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=place, rank=rank, world_size=_WORKERS)
        method.distribute(data_parallel)
    batches = batches_in_memory(given["batch"], seed=rank)
    for line in sys.stdin:
        spent = time.process_time()
        for _ in range(int(line)):
            method.update(batches)
        print(time.process_time() - spent, flush=True)
    if folder:
        dist.destroy_process_group()


def worker_figures(spent: Mapping[str, list[tuple[float, float]]], batch: int) -> dict[str, Any]:
    """Pairs per second by turn, and over those of one worker: the median of the rounds.

    `cpu_ratio` is what the ratio would be if nothing were waited for: from the workers' CPU seconds.

    Args:
        spent: by turn the seconds of a step, and a worker's CPU seconds for it, of each round.
    """
    one = spent[_TURNS[0]]
    turns = {}
    for name, values in spent.items():
        workers = 1 if name == _TURNS[0] else _WORKERS
        ratios = workers * np.array(one) / np.array(values)
        seconds, cpu_seconds = np.transpose(values).tolist()
        turns[name] = {
            "pairs_per_second": workers * batch / float(np.median(seconds)),
            "ratio": float(np.median(ratios[:, 0])),
            "cpu_ratio": float(np.median(ratios[:, 1])),
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
        }
    return {"turns": turns}


def draw(figures: dict[str, Any], axes: Any) -> None:
    """Pairs per second of each turn over one worker's."""
    bars(axes, {name: turn["ratio"] for name, turn in figures["turns"].items()}, "times one worker")


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
    work(*json.loads(sys.argv[1]))
