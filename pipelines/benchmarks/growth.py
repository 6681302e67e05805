"""What a data set of 4 and 16 times the rows costs: time is to grow with it, and memory is not.

Each size in processes of their own: one writes the shards, one reads an epoch of training batches from them.
Pictures are small, on the local disk.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from pipelines.benchmarks.processes import peak_bytes, run_module
from pipelines.benchmarks.report import Report
from pipelines.benchmarks.synthetic_data import SIDE, write_pairs
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.shards.reading import Dataset

TIMES = (1, 4, 16)
_MODULE = "pipelines.benchmarks.growth"
_BATCH_SIZE = 16
_LOADED = time.process_time()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rows", type=int, default=512, help="of the smallest data set (default: %(default)s)"
    )


def measure(arguments: argparse.Namespace) -> Report:
    sizes = []
    for times in TIMES:
        rows = times * arguments.rows
        with tempfile.TemporaryDirectory() as folder:
            written = run_module(_MODULE, "write", folder, rows)
            sizes.append({"rows": rows, "write": written, "read": run_module(_MODULE, "read", folder)})
    figures = growth_figures(sizes)
    return Report(figures, [_table(figures)])


def growth_figures(sizes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What each row of the largest costs over one of the smallest, and its memory over the smallest's."""
    small, large = sizes[0], sizes[-1]
    grown = {}
    for part in ("write", "read"):
        each = [size[part]["cpu_seconds"] / size["rows"] for size in (small, large)]
        grown[part] = {
            "cpu_seconds_a_row_ratio": each[1] / each[0],
            "peak_ratio": large[part]["peak_bytes"] / small[part]["peak_bytes"],
        }
    return {"sizes": list(sizes), "grown": grown}


def write(folder: str, rows: str) -> dict[str, float]:
    """Write a data set, a shard at a time."""
    write_pairs(Path(folder), int(rows))
    return _spent()


def read(folder: str) -> dict[str, float]:
    """Takes an epoch of training batches, a window after the other."""
    spec = StreamSpec(Dataset.open(folder), _BATCH_SIZE)
    steps = spec.plan.num_samples // _BATCH_SIZE
    taken = sum(
        len(block["id"])
        for window in spec.windows(0, steps)
        for block in read_window(spec, *window, _BATCH_SIZE)
    )
    assert taken == steps * _BATCH_SIZE
    return _spent()


def _spent() -> dict[str, float]:
    """CPU seconds since the programs were loaded, on all threads, and memory at its peak."""
    return {"cpu_seconds": time.process_time() - _LOADED, "peak_bytes": peak_bytes()}


def draw(figures: dict[str, Any], axes: Any) -> None:
    """CPU time and memory against rows, both over the smallest data set's."""
    sizes = figures["sizes"]
    rows = [size["rows"] for size in sizes]
    for part, label in (("write", "writing shards"), ("read", "reading an epoch")):
        for figure, style in (("cpu_seconds", "o-"), ("peak_bytes", "s--")):
            values = [size[part][figure] / sizes[0][part][figure] for size in sizes]
            axes.plot(rows, values, style, label=f"{label}: {'CPU time' if style == 'o-' else 'memory'}")
    axes.plot(rows, [count / rows[0] for count in rows], ":", color="gray", label="as the rows")
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel=f"over {rows[0]:,} rows")
    axes.legend()


def _table(figures: dict[str, Any]) -> Table:
    columns = ("written, CPU s", "ms a row", "peak, MB", "epoch read, CPU s", "ms a row", "peak, MB")
    table = Table("rows", *columns, title=f"growth: pairs of {SIDE}x{SIDE}, training batches of 256x256")
    for size in figures["sizes"]:
        cells = []
        for part in (size["write"], size["read"]):
            cells += [
                f"{part['cpu_seconds']:.1f}",
                f"{1000 * part['cpu_seconds'] / size['rows']:.2f}",
                f"{part['peak_bytes'] / 1e6:,.0f}",
            ]
        table.add_row(f"{size['rows']:,}", *cells)
    return table


_PARTS = {"write": write, "read": read}

if __name__ == "__main__":
    print(json.dumps(_PARTS[sys.argv[1]](*sys.argv[2:])))  # type: ignore[operator]
