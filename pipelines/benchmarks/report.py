"""What a benchmark found, and what it found it on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from pipelines.runtime.console import results

_PACKAGES = ("torch", "ray", "pyarrow", "opencv-python-headless")


@dataclass(frozen=True)
class Report:
    """
    Attributes:
        figures: in values that JSON can hold; all that is known.
        tables: the same for people to read.
    """

    figures: dict[str, Any]
    tables: list[Table]


def machine() -> dict[str, Any]:
    """The processor, the cores this process may use, memory in bytes, GPUs, and versions."""
    return {
        "processor": _processor(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def show(report: Report) -> None:
    """Prints the tables and the machine on standard output."""
    for table in report.tables:
        results.print(table)
    about = machine()
    versions = ", ".join(f"{name} {about[name]}" for name in ("python", *_PACKAGES))
    machinery = [about["processor"], f"{about['cores']} cores", f"{about['memory_bytes'] >> 30} GiB"]
    results.print(f"{', '.join(machinery + about['gpus'])}; {versions}")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
