"""Time and memory of a data set of 4 and 16 times the rows: time is to grow with the rows, memory is not.

Each size in processes of their own: one writes the shards, one reads an epoch of training batches from them.
Pictures are small, on the local disk.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.processes import peak_bytes, run_module
from pipelines.benchmarks.results import Comparison
from pipelines.benchmarks.synthetic_data import SIDE, write_pairs
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.shards.reading import Dataset

if TYPE_CHECKING:  # the processes whose memory is measured do without it
    from matplotlib.figure import Figure

TIMES = (1, 4, 16)
_MODULE = "pipelines.benchmarks.growth"
_BATCH_SIZE = 16
_LABELS = {"write": "writing shards", "read": "reading an epoch"}
_LOADED = time.process_time()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `charmnet bench growth`."""
    parser.add_argument(
        "--rows", type=int, default=512, help="of the smallest data set (default: %(default)s)"
    )


def measure(arguments: argparse.Namespace) -> Measurement:
    """Write and read a data set of each size."""
    sizes = []
    for times in TIMES:
        rows = times * arguments.rows
        with tempfile.TemporaryDirectory() as folder:
            written = run_module(_MODULE, "write", folder, rows)
            sizes.append({"rows": rows, "write": written, "read": run_module(_MODULE, "read", folder)})
    figures = growth_figures(sizes)
    return Measurement(figures, [_table(figures)], _comparisons(figures))


def growth_figures(sizes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the cost of a row of the largest over one of the smallest, and the ratio of their memory."""
    small = sizes[0]
    large = sizes[-1]
    grown = {}
    for part in _LABELS:
        small_cost, large_cost = (size[part]["cpu_seconds"] / size["rows"] for size in (small, large))
        grown[part] = {
            "cpu_seconds_a_row_ratio": large_cost / small_cost,
            "peak_ratio": large[part]["peak_bytes"] / small[part]["peak_bytes"],
        }
    return {"sizes": list(sizes), "grown": grown}


def write(folder: str, rows: str) -> dict[str, float]:
    """Write a data set, a shard at a time."""
    write_pairs(Path(folder), int(rows))
    return _spent()


def read(folder: str) -> dict[str, float]:
    """Take an epoch of training batches, one window after the other."""
    spec = StreamSpec(Dataset.open(folder), _BATCH_SIZE)
    steps = spec.plan.num_samples // _BATCH_SIZE
    samples = sum(
        len(block["id"])
        for start, stop in spec.windows(0, steps)
        for block in read_window(spec, start, stop, _BATCH_SIZE)
    )
    assert samples == steps * _BATCH_SIZE
    return _spent()


def _spent() -> dict[str, float]:
    """Return CPU seconds of all threads since the programs were loaded, and memory at its peak."""
    return {"cpu_seconds": time.process_time() - _LOADED, "peak_bytes": peak_bytes()}


def _comparisons(figures: dict[str, Any]) -> list[Comparison]:
    small = figures["sizes"][0]
    large = figures["sizes"][-1]
    comparisons = []
    for part, label in _LABELS.items():
        grown = figures["grown"][part]
        comparisons += [
            Comparison(
                question=f"{label}, {large['rows']:,} rows, CPU a row",
                values=(1000 * large[part]["cpu_seconds"] / large["rows"],),
                unit="ms",
                beside=f"{small['rows']:,} rows",
                beside_values=(1000 * small[part]["cpu_seconds"] / small["rows"],),
                ratios=(grown["cpu_seconds_a_row_ratio"],),
            ),
            Comparison(
                question=f"{label}, {large['rows']:,} rows, peak memory",
                values=(large[part]["peak_bytes"] / 1e6,),
                unit="MB",
                beside=f"{small['rows']:,} rows",
                beside_values=(small[part]["peak_bytes"] / 1e6,),
                ratios=(grown["peak_ratio"],),
            ),
        ]
    return comparisons


def draw(figures: dict[str, Any], figure: Figure) -> None:
    """Draw CPU time and memory against rows, both over those of the smallest data set."""
    axes = figure.subplots()
    sizes = figures["sizes"]
    rows = [size["rows"] for size in sizes]
    for part, label in _LABELS.items():
        for key, name, style in (("cpu_seconds", "CPU time", "o-"), ("peak_bytes", "memory", "s--")):
            values = [size[part][key] / sizes[0][part][key] for size in sizes]
            axes.plot(rows, values, style, label=f"{label}: {name}")
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


_PARTS: dict[str, Callable[..., dict[str, float]]] = {"write": write, "read": read}

if __name__ == "__main__":
    part_name, *part_arguments = sys.argv[1:]
    print(json.dumps(_PARTS[part_name](*part_arguments)))
