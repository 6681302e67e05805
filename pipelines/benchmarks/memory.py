"""Memory and disk that ingest and training take, and whether they grow with the data or with time.

  python -m pipelines.benchmarks.memory ingest [--rows 1000]
  python -m pipelines.benchmarks.memory training [--steps 10000]

`ingest` streams equal steps of two data sets, one ten times the other; `training` runs the debug recipe and
measures how its processes grow.

Memory is the private memory of all processes of a run together: their resident sets less what they share (the
object store, programs). It is read twice a second. Data sets of small pictures are made on the local disk.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import ray
import ray.data

from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.processes import ray_worker_name, read_tree
from pipelines.benchmarks.synthetic_data import write_pairs, write_scenes
from pipelines.ingest.execution import TaskResources, stream_dataset
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.blocks import unpack_block
from pipelines.runtime.cluster import start_here
from pipelines.shards.reading import Dataset

TIMES_LARGER = 10
BATCH_SIZE = 16
MEGABYTE = 1 << 20
_INTERVAL_SECONDS = 0.5
_WARM_SHARE = 0.25  # of the steps, before growth is measured; nor is it after the last step


@dataclass
class MemoryWatch:
    """Memory of a process and of all its descendants, beside the step that it was read at.

    Attributes:
        process: prints "step N" lines on standard output.
        step: the last one that the process printed.
        readings: (step, {kind of process: bytes of each}), in order.
    """

    process: subprocess.Popen[str]
    step: int = 0
    readings: list[tuple[int, dict[str, list[int]]]] = field(default_factory=list)

    def run_until_end(self) -> None:
        """Read memory until the process ends.

        Raises:
            SystemExit: the process failed; its output was shown.
        """
        reader = threading.Thread(target=self._read_output, daemon=True)
        reader.start()
        while True:
            try:
                code = self.process.wait(_INTERVAL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                self.readings.append((self.step, private_bytes(self.process.pid)))
        reader.join()
        if code:
            raise SystemExit(f"the process that was watched ended with {code}")

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := re.match(r"step (\d+)", line):
                self.step = int(match[1])
            else:
                print(f"  {line}", end="", flush=True)

    @property
    def totals(self) -> np.ndarray:
        """Bytes of all processes together, int64 [readings]."""
        return np.array([_total(by_kind) for _, by_kind in self.readings])


def private_bytes(pid: int) -> dict[str, list[int]]:
    """Return the private bytes of a process and of each of its descendants, by kind of process."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for kind, size in read_tree(_private_bytes, pid):
        by_kind[kind].append(size)
    return dict(by_kind)


def _private_bytes(process: psutil.Process) -> tuple[str, int]:
    memory = process.memory_info()
    return _kind(process.cmdline()), memory.rss - memory.shared


def _kind(command_line: list[str]) -> str:
    """Return an actor's name, or one name for all processes that run data tasks, or for Ray's servers."""
    worker_name = ray_worker_name(command_line)
    if worker_name is not None:
        return "data tasks" if worker_name.startswith(("IDLE", "MapBatches")) else worker_name
    if command_line and "gcs_server" in command_line[0]:
        return "Ray's GCS"
    return "driver" if {"pipelines", "--consume"} & set(command_line) else "Ray's servers"


def _total(by_kind: dict[str, list[int]]) -> int:
    return sum(map(sum, by_kind.values()))


def watch_module(*arguments: str) -> MemoryWatch:
    """Run a module with its arguments on one torch thread and watch it until it ends."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    watch = MemoryWatch(process)
    watch.run_until_end()
    return watch


def measure_ingest(rows: int) -> None:
    """Stream as many samples of a small data set as of a large one, which the stream takes once."""
    steps = rows * TIMES_LARGER // BATCH_SIZE
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (rows, rows * TIMES_LARGER):
            uri = write_pairs(Path(folder, str(count)), count)
            watch = watch_module(
                "pipelines.benchmarks.memory", "ingest", "--consume", uri, "--steps", str(steps)
            )
            peaks.append(watch.totals.max() / MEGABYTE)
            print(
                f"{count:>9,} rows: peak {peaks[-1]:,.0f} MiB, "
                f"median {np.median(watch.totals) / MEGABYTE:,.0f} MiB, "
                f"{steps:,} steps of {BATCH_SIZE}, {len(watch.readings)} readings",
                flush=True,
            )
    print(f"{TIMES_LARGER} times the data takes {peaks[1] / peaks[0]:.3f} times the memory")


def consume(uri: str, steps: int) -> None:
    """Take every step of a stream and do nothing with it.

    Raises:
        SystemExit: the stream ended early.
    """
    start_here(num_cpus=2, object_store_memory=300 * MEGABYTE)
    ray.data.DataContext.get_current().enable_progress_bars = False
    spec = StreamSpec(Dataset.open(uri), BATCH_SIZE)
    (iterator,) = stream_dataset(spec, 0, steps, BATCH_SIZE, TaskResources()).streaming_split(1, equal=False)
    # batch_size=None keeps blocks as they are; Ray's annotation lacks it.
    tables = iterator.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2)  # type: ignore[arg-type]
    count = sum(len(unpack_block(table)["step"]) for table in tables) // BATCH_SIZE
    if count != steps:
        raise SystemExit(f"{count} steps came, expected {steps}")


def measure_training(steps: int) -> None:
    """Train the debug recipe with checkpoints and tracking, and fit a line to its processes' memory."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["CHARMNET_STATE"] = str(folder / "state")
        real = write_pairs(folder / "real", 256)
        rendered = write_scenes(folder / "rendered", 16)
        watch = watch_module(
            "pipelines",
            "train",
            *("--real", real, "--rendered", rendered),
            *("--storage", str(folder / "runs"), "--name", "long", "--recipe", "debug"),
            *("--tracking", f"sqlite:///{folder}/mlflow.db"),
            *(f"steps={steps}", "log_every=10", "validate_every=0", "checkpoint_every=500", "sample_rows=0"),
        )
        disk = {name: _disk_bytes(folder / name) for name in ("runs", "state")}
    print(
        f"peak {watch.totals.max() / MEGABYTE:,.0f} MiB over {steps:,} steps, {len(watch.readings)} readings"
    )
    _print_growth([reading for reading in watch.readings if _WARM_SHARE * steps < reading[0] < steps])
    for name, size in disk.items():
        print(f"  {name} on disk at the end: {size / MEGABYTE:,.1f} MiB")


def _print_growth(readings: Sequence[tuple[int, dict[str, list[int]]]]) -> None:
    steps = [step for step, _ in readings]
    print(f"  all: {_growth(steps, [_total(by_kind) for _, by_kind in readings])}")
    for kind in sorted({kind for _, by_kind in readings for kind in by_kind}):
        sizes = [by_kind.get(kind, [0]) for _, by_kind in readings]
        together = _growth(steps, [sum(processes) for processes in sizes])
        each = _growth(steps, [sum(processes) / len(processes) for processes in sizes])
        print(f"  {kind}: {together}, {len(sizes[0])} to {len(sizes[-1])} processes; of one {each}")


def _growth(steps: Sequence[int], sizes: Sequence[float]) -> str:
    """Return the median of sizes in bytes and the slope of the line through them."""
    slope = 1000 * np.polyfit(steps, sizes, 1)[0] / MEGABYTE
    return f"{np.median(sizes) / MEGABYTE:,.0f} MiB {slope:+.2f} per 1,000 steps"


def _disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Answer the question that the command names."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("question", choices=["ingest", "training"])
    parser.add_argument("--rows", type=int, default=1000, help="of the smaller data set (default 1000)")
    parser.add_argument("--steps", type=int, default=10_000, help="of training (default 10,000)")
    parser.add_argument("--consume", metavar="URI", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.consume:
        consume(arguments.consume, arguments.steps)
    elif arguments.question == "ingest":
        measure_ingest(arguments.rows)
    else:
        measure_training(arguments.steps)


if __name__ == "__main__":
    main()
