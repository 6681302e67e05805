"""Measurements of the benchmarks, the machine that they ran on, and how both are printed."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from pipelines.benchmarks.results import Comparison, Machine
from pipelines.runtime.console import results

_PACKAGES = ("torch", "ray", "pyarrow", "opencv-python-headless")
_CPU_INFORMATION = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Measurement:
    """Findings of a benchmark.

    Attributes:
        figures: all of them, in values that JSON can hold.
        tables: the same for people to read.
        comparisons: the rows that the benchmark adds to docs/benchmarks.md.
    """

    figures: dict[str, Any]
    tables: Sequence[Table]
    comparisons: Sequence[Comparison] = ()


def this_machine() -> Machine:
    """Return the processor, the cores that this process may use, GPUs and versions."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpus=tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())),
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    )


def show(measurement: Measurement, machine: Machine) -> None:
    """Print the tables and the machine on standard output."""
    for table in measurement.tables:
        results.print(table)
    versions = ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    results.print(f"{machine.summary()}; {versions}")


def _processor() -> str:
    lines = _CPU_INFORMATION.read_text().splitlines() if _CPU_INFORMATION.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
