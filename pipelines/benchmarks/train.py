"""`charmnet train` as a whole against the update alone, and the time of its start by phase.

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
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray
import torch
from matplotlib.figure import Figure
from rich.table import Table

from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.processes import CpuTimes, run_module
from pipelines.benchmarks.results import Comparison
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.benchmarks.update_worker import WARM_UP_STEPS, synchronize
from pipelines.config.recipes import recipe, recipe_names
from pipelines.config.train_config import TrainConfig, flat
from pipelines.runtime.cluster import ADDRESS_VARIABLE, disconnect, start_here
from pipelines.tracking.server import connect
from pipelines.training.build import configured_method
from pipelines.training.parallel import make_update
from pipelines.training.startup_timer import parse

_MODULE = "pipelines.benchmarks.train"
_WARM_UP_SHARE = 0.25  # of the run's steps
_WINDOWS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `charmnet bench train`."""
    parser.add_argument("--real", metavar="URI", required=True, help="data set of the real domain")
    parser.add_argument("--rendered", metavar="URI", required=True, help="data set of the rendered domain")
    parser.add_argument(
        "--recipe", default="released", help=f"{', '.join(recipe_names())} (default: released)"
    )
    parser.add_argument("--steps", type=int, default=40, help="of the run (default: %(default)s)")
    parser.add_argument("--bare-steps", type=int, default=8, help="of the update alone, twice (default: 8)")
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="of the configuration")


def measure(arguments: argparse.Namespace) -> Measurement:
    """Measure the update alone, the run, and the update alone again."""
    assignments = [
        *arguments.overrides,
        f"steps={arguments.steps}",
        f"log_every={max(1, arguments.steps // _WINDOWS)}",
        "checkpoint_every=0",
        "sample_rows=0",
    ]
    config = recipe(arguments.recipe).override(assignments)
    bare_arguments = (json.dumps(config.to_json()), arguments.bare_steps)
    bare_before = run_module(_MODULE, *bare_arguments)
    timings = _train(arguments, assignments)
    bare_after = run_module(_MODULE, *bare_arguments)
    figures = run_figures(timings, [bare_before, bare_after], config.batch_size)
    tables = [_rate_table(figures, config), _start_table(figures), _cpu_table(figures)]
    return Measurement(figures, tables, _comparisons(figures, arguments.recipe, config))


# -- the update alone


def measure_bare(config: TrainConfig, steps: int) -> dict[str, float]:
    """Return pairs per second and CPU seconds of a pair, of the update on a worker's device and threads."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cuda" if torch.cuda.is_available() and config.accelerator != "cpu" else "cpu"
    batches = {domain: batch.to(device) for domain, batch in batches_in_memory(config.batch_size).items()}
    update = make_update(configured_method(config).to(device), torch.device(device), num_workers=1)
    for _ in range(WARM_UP_STEPS[device]):
        update(batches)
    synchronize(device)
    started = time.perf_counter()
    cpu_started = time.process_time()
    for _ in range(steps):
        update(batches)
    synchronize(device)
    pairs = config.batch_size * steps
    return {
        "pairs_per_second": pairs / (time.perf_counter() - started),
        "cpu_seconds_a_pair": (time.process_time() - cpu_started) / pairs,
    }


# -- the whole


class Window(NamedTuple):
    """Some steps of the run between two reports.

    Attributes:
        pairs_per_second: of the steps.
        data_wait: share of the time that was spent on waiting for data.
    """

    pairs_per_second: float
    data_wait: float


@dataclass
class TrainTimings:
    """Times of a run of `charmnet train`.

    Attributes:
        windows: in order.
        start_seconds: seconds of the start by phase.
        cpu_seconds: CPU seconds after the warm-up by kind of process.
        cpu_steps: the steps that these were spent on.
    """

    windows: list[Window] = field(default_factory=list)
    start_seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    cpu_steps: int = 0


def _train(arguments: argparse.Namespace, assignments: Sequence[str]) -> TrainTimings:
    """Run the command on a running cluster and time it."""
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
        started = time.time()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, ADDRESS_VARIABLE: address}
        )
        timings = _read_output(process, started, int(arguments.steps * _WARM_UP_SHARE))
        timings.windows = _read_windows(database)
    disconnect()
    return timings


def _read_output(process: subprocess.Popen[str], started: float, warm_steps: int) -> TrainTimings:
    """Time a run by the lines that it prints.

    Raises:
        SystemExit: the command failed; its output was shown.
    """
    assert process.stdout is not None
    timings = TrainTimings()
    first_step = 0
    first_times = CpuTimes({})
    for line in process.stdout:
        print(f"  {line}", end="", file=sys.stderr, flush=True)
        if (phases := parse(line)) is not None:
            timings.start_seconds = {"interpreter": time.time() - started - sum(phases.values()), **phases}
        match = re.match(r"step (\d+)/(\d+)", line)
        if match is None:
            continue
        step = int(match[1])
        if first_step and step != int(match[2]):  # by the last one the worker may be gone
            timings.cpu_seconds = CpuTimes.now().since(first_times)
            timings.cpu_steps = step - first_step
        elif not first_step and step >= warm_steps:
            first_step = step
            first_times = CpuTimes.now()
    if process.wait():
        raise SystemExit(f"`charmnet train` ended with {process.returncode}")
    return timings


def _read_windows(database: str) -> list[Window]:
    client = connect(database)
    experiment = client.get_experiment_by_name("charmnet")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])

    def history(name: str) -> dict[int, float]:
        entries = client.get_metric_history(run.info.run_id, f"throughput/{name}")
        return {entry.step: entry.value for entry in entries}

    rates = history("pairs_per_second")
    waits = history("data_wait_fraction")
    return [Window(rates[step], waits[step]) for step in sorted(rates)]


# -- report


def run_figures(timings: TrainTimings, bare: Sequence[dict[str, float]], batch_size: int) -> dict[str, Any]:
    """Return the rate of the windows after the warm-up, and its ratio to the mean of the rates alone.

    Args:
        timings: of the run.
        bare: figures of `measure_bare` before and after the run.
        batch_size: pairs of a step.
    """
    windows = [Window(*window) for window in timings.windows]
    warm = windows[int(len(windows) * _WARM_UP_SHARE) :]
    seconds_a_pair = sum(1 / window.pairs_per_second for window in warm)  # windows are of as many steps
    alone = sum(each["pairs_per_second"] for each in bare) / len(bare)
    alone_cpu = sum(each["cpu_seconds_a_pair"] for each in bare) / len(bare)
    pairs = timings.cpu_steps * batch_size
    cpu_seconds = {kind: seconds / pairs for kind, seconds in timings.cpu_seconds.items()}
    rate = len(warm) / seconds_a_pair
    wait = sum(window.data_wait / window.pairs_per_second for window in warm) / seconds_a_pair
    return {
        "pairs_per_second": rate,
        "bare": list(bare),
        "ratio": rate / alone,
        "cpu_seconds_a_pair": cpu_seconds,
        "cpu_ratio": alone_cpu / sum(cpu_seconds.values()),
        "data_wait_fraction": wait,
        "windows": windows,
        "start_seconds": timings.start_seconds,
    }


def _comparisons(figures: dict[str, Any], recipe_name: str, config: TrainConfig) -> list[Comparison]:
    return [
        Comparison(
            question=f"training, one worker, {recipe_name} recipe in {config.method.precision}",
            values=(figures["pairs_per_second"],),
            unit="pairs/s",
            beside="the update alone, before and after",
            beside_values=tuple(alone["pairs_per_second"] for alone in figures["bare"]),
            ratios=(figures["ratio"],),
        )
    ]


def draw(figures: dict[str, Any], figure: Figure) -> None:
    """Draw the start, phase by phase."""
    axes = figure.subplots()
    passed = 0.0
    for phase, seconds in figures["start_seconds"].items():
        axes.barh(phase, seconds, left=passed, color="tab:blue")
        passed += seconds
        axes.text(passed, phase, f" {seconds:.1f} s", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="seconds since the command", xlim=(0, 1.12 * passed))


def _rate_table(figures: dict[str, Any], config: TrainConfig) -> Table:
    values = flat(config.to_json())
    title = (
        f"train: width {values['width']}, {values['precision']}, {config.batch_size} pairs a step, 1 worker"
    )
    table = Table("", "pairs/s", "ratio", "data wait", title=title)
    for name, alone in zip(("alone, before", "alone, after"), figures["bare"], strict=True):
        table.add_row(name, f"{alone['pairs_per_second']:.2f}", "", "")
    table.add_row(
        "charmnet train",
        f"{figures['pairs_per_second']:.2f}",
        f"{figures['ratio']:.2f}",
        f"{figures['data_wait_fraction']:.1%}",
    )
    return table


def _start_table(figures: dict[str, Any]) -> Table:
    table = Table("start", "seconds", "since the command", title="from the command to the first step's end")
    passed = 0.0
    for phase, seconds in figures["start_seconds"].items():
        passed += seconds
        table.add_row(phase, f"{seconds:.1f}", f"{passed:.1f}")
    return table


def _cpu_table(figures: dict[str, Any]) -> Table:
    table = Table("process", "CPU ms a pair", title="after the warm-up")
    for alone in figures["bare"]:
        table.add_row("the update alone", f"{1000 * alone['cpu_seconds_a_pair']:.1f}")
    cpu_seconds = figures["cpu_seconds_a_pair"]
    for kind, seconds in sorted(cpu_seconds.items(), key=lambda item: -item[1]):
        table.add_row(kind, f"{1000 * seconds:.1f}")
    table.add_row("all of the run", f"{1000 * sum(cpu_seconds.values()):.1f}")
    table.add_row("ratio", f"{figures['cpu_ratio']:.2f}")
    return table


if __name__ == "__main__":
    print(json.dumps(measure_bare(TrainConfig.from_json(json.loads(sys.argv[1])), int(sys.argv[2]))))
