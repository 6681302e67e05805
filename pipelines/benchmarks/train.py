"""`charmnet train` as a whole against the update alone, and where its start goes.

A Ray cluster of this machine trains one worker from shards in an object store, as a user would. Before and
after, a process makes the same updates on the same device and threads, on tensors in memory. The run's rate
is that of its windows after the warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.table import Table

from pipelines.benchmarks.processes import CpuTimes, run_module
from pipelines.benchmarks.report import Report
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.benchmarks.update_worker import WARM_UP_STEPS, synchronize
from pipelines.config.recipes import RECIPES, recipe
from pipelines.config.train_config import TrainConfig
from pipelines.training.build import method_of
from pipelines.training.parallel import make_update
from pipelines.training.startup_timer import parse

_MODULE = "pipelines.benchmarks.train"
_WARM_UP_SHARE = 0.25  # of the run's steps
_WINDOWS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", metavar="URI", required=True, help="data set of the real domain")
    parser.add_argument("--rendered", metavar="URI", required=True, help="data set of the rendered domain")
    parser.add_argument("--recipe", default="released", help=f"{', '.join(RECIPES)} (default: released)")
    parser.add_argument("--steps", type=int, default=40, help="of the run (default: %(default)s)")
    parser.add_argument("--bare-steps", type=int, default=8, help="of the update alone, twice (default: 8)")
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="of the configuration")


def measure(arguments: argparse.Namespace) -> Report:
    assignments = [
        *arguments.overrides,
        f"steps={arguments.steps}",
        f"log_every={max(1, arguments.steps // _WINDOWS)}",
        "checkpoint_every=0",
        "sample_rows=0",
    ]
    config = recipe(arguments.recipe).override(assignments)
    bare = [run_module(_MODULE, json.dumps(config.to_json()), arguments.bare_steps)]
    run = _trained(arguments, assignments)
    bare.append(run_module(_MODULE, json.dumps(config.to_json()), arguments.bare_steps))
    figures = run_figures(run, bare, config.batch_size)
    return Report(figures, [_rate_table(figures, config), _start_table(figures), _cpu_table(figures)])


# -- the update alone


def bare(config: TrainConfig, steps: int) -> dict[str, float]:
    """Pairs per second, and CPU seconds of a pair, of the update on a worker's device and threads."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cuda" if torch.cuda.is_available() and config.accelerator != "cpu" else "cpu"
    batches = {domain: own.to(device) for domain, own in batches_in_memory(config.batch_size).items()}
    update = make_update(method_of(config).to(device), torch.device(device), num_workers=1)
    for _ in range(WARM_UP_STEPS[device]):
        update(batches)
    synchronize(device)
    started, spent = time.perf_counter(), time.process_time()
    for _ in range(steps):
        update(batches)
    synchronize(device)
    pairs = config.batch_size * steps
    return {
        "pairs_per_second": pairs / (time.perf_counter() - started),
        "cpu_seconds_a_pair": (time.process_time() - spent) / pairs,
    }


# -- the whole


@dataclass
class Run:
    """
    Attributes:
        windows: (pairs per second, share of data wait) of each window of steps, in order.
        start: seconds by milestone. cpu: seconds after the warm-up, by kind of process; of cpu_steps steps.
    """

    windows: list[tuple[float, float]] = field(default_factory=list)
    start: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    cpu_steps: int = 0


def _trained(arguments: argparse.Namespace, assignments: list[str]) -> Run:
    """Runs the command on a running cluster and listens to it."""
    import ray

    from pipelines.runtime.cluster import ADDRESS_VARIABLE, start_here

    start_here()
    address = ray.get_runtime_context().gcs_address
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/mlflow.db"
        command = [
            *(sys.executable, "-u", "-m", "pipelines", "train"),
            *("--real", arguments.real, "--rendered", arguments.rendered),
            *("--storage", folder, "--name", "bench", "--recipe", arguments.recipe, "--tracking", database),
            *assignments,
        ]
        began = time.time()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, ADDRESS_VARIABLE: address}
        )
        run = _listen(process, began, int(arguments.steps * _WARM_UP_SHARE))
        run.windows = _windows(database)
    ray.shutdown()
    return run


def _listen(process: subprocess.Popen[str], began: float, warm_steps: int) -> Run:
    """
    Raises:
        SystemExit: the command failed; what it said was shown.
    """
    assert process.stdout is not None
    run, before = Run(), (0, CpuTimes({}))
    for line in process.stdout:
        print(f"  {line}", end="", file=sys.stderr, flush=True)
        if (start := parse(line)) is not None:
            run.start = start
            run.start = {"interpreter": time.time() - began - sum(start.values()), **start}
        step = re.match(r"step (\d+)/(\d+)", line)
        if step and int(step[1]) >= warm_steps and not before[0]:
            before = int(step[1]), CpuTimes.now()
        elif step and before[0] and step[1] != step[2]:  # by the last one the worker may be gone
            run.cpu, run.cpu_steps = CpuTimes.now().since(before[1]), int(step[1]) - before[0]
    if process.wait():
        raise SystemExit(f"`charmnet train` ended with {process.returncode}")
    return run


def _windows(database: str) -> list[tuple[float, float]]:
    from pipelines.tracking.server import connect

    client = connect(database)
    experiment = client.get_experiment_by_name("charmnet")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    names = ("pairs_per_second", "data_wait_fraction")
    histories = [client.get_metric_history(run.info.run_id, f"throughput/{name}") for name in names]
    values = [{entry.step: entry.value for entry in history} for history in histories]
    return [(values[0][step], values[1][step]) for step in sorted(values[0])]


# -- what is told


def run_figures(run: Run, bare: list[dict[str, float]], batch_size: int) -> dict[str, Any]:
    """Rates of the windows after the warm-up, over the mean of the rates alone before and after."""
    warm = run.windows[int(len(run.windows) * _WARM_UP_SHARE) :]
    pairs = len(warm) / sum(1 / rate for rate, _ in warm)  # windows are of as many steps
    alone, alone_cpu = (sum(each[name] for each in bare) / len(bare) for name in bare[0])
    cpu = {kind: seconds / (run.cpu_steps * batch_size) for kind, seconds in run.cpu.items()}
    return {
        "pairs_per_second": pairs,
        "bare": bare,
        "ratio": pairs / alone,
        "cpu_seconds_a_pair": cpu,
        "cpu_ratio": alone_cpu / sum(cpu.values()),
        "data_wait_fraction": sum(wait / rate for rate, wait in warm) / sum(1 / rate for rate, _ in warm),
        "windows": run.windows,
        "start_seconds": run.start,
    }


def draw(figures: dict[str, Any], axes: Any) -> None:
    """Where the start goes, milestone by milestone."""
    passed = 0.0
    for milestone, seconds in figures["start_seconds"].items():
        axes.barh(milestone, seconds, left=passed, color="tab:blue")
        passed += seconds
        axes.text(passed, milestone, f" {seconds:.1f} s", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="seconds since the command", xlim=(0, 1.12 * passed))


def _rate_table(figures: dict[str, Any], config: TrainConfig) -> Table:
    title = f"train: width {config.width}, {config.precision}, {config.batch_size} pairs a step, 1 worker"
    table = Table("", "pairs/s", "ratio", "data wait", title=title)
    for name, alone in zip(("alone, before", "alone, after"), figures["bare"], strict=True):
        table.add_row(name, f"{alone['pairs_per_second']:.2f}", "", "")
    rate, ratio, wait = (figures[name] for name in ("pairs_per_second", "ratio", "data_wait_fraction"))
    table.add_row("charmnet train", f"{rate:.2f}", f"{ratio:.2f}", f"{wait:.1%}")
    return table


def _start_table(figures: dict[str, Any]) -> Table:
    table = Table("start", "seconds", "since the command", title="from the command to the first step's end")
    passed = 0.0
    for milestone, seconds in figures["start_seconds"].items():
        passed += seconds
        table.add_row(milestone, f"{seconds:.1f}", f"{passed:.1f}")
    return table


def _cpu_table(figures: dict[str, Any]) -> Table:
    table = Table("process", "CPU ms a pair", title="after the warm-up")
    for alone in figures["bare"]:
        table.add_row("the update alone", f"{1000 * alone['cpu_seconds_a_pair']:.1f}")
    spent = figures["cpu_seconds_a_pair"]
    for kind, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        table.add_row(kind, f"{1000 * seconds:.1f}")
    table.add_row("all of the run", f"{1000 * sum(spent.values()):.1f}")
    table.add_row("ratio", f"{figures['cpu_ratio']:.2f}")
    return table


if __name__ == "__main__":
    print(json.dumps(bare(TrainConfig.from_json(json.loads(sys.argv[1])), int(sys.argv[2]))))
