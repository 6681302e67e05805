"""CPU time and memory of a benchmark's processes, told apart by their purpose.

CPU seconds of a sample say what it costs whoever else uses the machine; where a run keeps all cores busy, its
rate is the cores over that cost.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")


def read_tree(read: Callable[[psutil.Process], T], root: int | None = None) -> list[T]:
    """Return what `read` gives for a process (this one by default) and for each of its descendants.

    A process that ends meanwhile is left out: its parent counts its CPU time.
    """
    top = psutil.Process(root)
    values = []
    for process in (top, *top.children(recursive=True)):
        try:
            values.append(read(process))
        except psutil.Error:
            continue
    return values


def ray_worker_name(command_line: Sequence[str]) -> str | None:
    """Return the class or function that a worker process of Ray runs; None for any other process."""
    title = command_line[0] if command_line else ""
    if not title.startswith("ray::"):
        return None
    return re.split(r"[\s(:.]", title.removeprefix("ray::"))[0]


def process_kind(command_line: Sequence[str]) -> str:
    """Return the purpose of a process in a run."""
    title = command_line[0] if command_line else ""
    if re.search("RayTrainWorker|_FunctionActor", title):
        return "models"
    if re.search(r"read_(real|rendered)|MapBatches\(decode", title):
        return "data tasks"
    if title.startswith("ray::"):
        return "actors of Ray Data and Train"
    return "driver" if {"pipelines", "train"} <= set(command_line) else "Ray's servers"


def cpu_seconds(process: psutil.Process) -> float:
    """Return user and system seconds of a process, its ended children not included."""
    times = process.cpu_times()
    return float(times.user + times.system)


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds of this process's descendants.

    Attributes:
        seconds: by (process id, kind of process).
    """

    seconds: dict[tuple[int, str], float]

    @classmethod
    def now(cls) -> CpuTimes:
        """Return the times since each process began."""
        entries = read_tree(lambda process: (process.pid, process.cmdline(), cpu_seconds(process)))
        return cls(
            {
                (pid, process_kind(command_line)): seconds
                for pid, command_line, seconds in entries
                if pid != os.getpid()
            }
        )

    def since(self, before: CpuTimes) -> dict[str, float]:
        """Return the seconds that passed since `before`, by kind, of processes that are still there."""
        passed: dict[str, float] = defaultdict(float)
        for key, seconds in self.seconds.items():
            passed[key[1]] += seconds - before.seconds.get(key, 0.0)
        return dict(passed)


def coordinator_cpu_seconds() -> float:
    """Return the CPU seconds of the newest of Ray Data's split coordinators below this process."""
    entries = read_tree(
        lambda process: (process.create_time(), ray_worker_name(process.cmdline()), cpu_seconds(process))
    )
    return max(entry for entry in entries if entry[1] and "SplitCoordinator" in entry[1])[2]


def peak_bytes() -> int:
    """Return the most memory that this process has held, its programs included (Linux only)."""
    # Not resource.getrusage, whose figure begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def run_module(module: str, *arguments: object) -> Any:
    """Run a module in a process of its own and return the JSON that it prints.

    Raises:
        CalledProcessError: the module failed; its error was shown.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)
