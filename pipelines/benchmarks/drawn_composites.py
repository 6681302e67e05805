"""What composites that are drawn anew cost beside stored ones of the same photographs.

  charmnet compose-real ... --layout photographs --dest ./photographs
  charmnet compose-real ... --layout shards --dest ./pairs
  python -m pipelines.benchmarks.drawn_composites --photographs ./photographs --pairs ./pairs

Bytes stored for each mask, bytes of the row groups that are read for a training sample, and CPU milliseconds
of one process for a sample, both data sets read in turns. Beside them the composites' foreground error, which
shows whether both are alike.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pipelines.benchmarks.options import benchmark_parser
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection

_BATCH_SIZE = 16
_STEPS = 16  # of a window


@dataclass(frozen=True)
class Window:
    """One window of samples: CPU milliseconds of each, and the median of their foreground errors."""

    cpu_ms: float
    fmse: float


def stored_bytes(dataset: Dataset) -> int:
    """Return the size of the shards and of the file of colours."""
    colors = dataset.manifest.colors
    return dataset.manifest.bytes + (0 if colors is None else colors.bytes)


def mask_count(dataset: Dataset) -> int:
    """Return the number of masks; those of pairs are told apart by their ids without the variant's number."""
    if dataset.manifest.kind is RowKind.PHOTOGRAPH:
        return dataset.manifest.samples
    shards = range(len(dataset.manifest.shards))
    ids = (name for shard in shards for name in dataset.read_columns(shard, ["id"])["id"].to_pylist())
    return len({name.rpartition("_")[0] for name in ids})


def read_bytes_per_sample(spec: StreamSpec) -> float:
    """Return the bytes of the row groups of the stream's first epoch, for each of its samples."""
    groups = spec.plan.row_groups(0, spec.plan.num_samples)
    entries = (spec.union.shard(shard).entry.row_groups[group] for shard, group in groups)
    return sum(entry.bytes for entry in entries) / spec.plan.num_samples


def measure_window(spec: StreamSpec, number: int) -> Window:
    """Read a window of the stream in this process."""
    start = number * _STEPS
    before = time.process_time()
    blocks = list(read_window(spec, start, start + _STEPS, spec.batch_size))
    cpu_ms = (time.process_time() - before) / (_STEPS * spec.batch_size) * 1e3
    errors = [
        np.square(composite.astype(np.float64) - ground_truth)[mask != 0].mean()
        for block in blocks
        for composite, ground_truth, mask in zip(
            block["composite"], block["ground_truth"], block["foreground_mask"], strict=True
        )
        if mask.any()
    ]
    return Window(cpu_ms, float(np.median(errors)))


def main() -> None:
    """Print a row for each data set."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--photographs", required=True, metavar="URI")
    parser.add_argument("--pairs", required=True, metavar="URI")
    parser.add_argument("--select", default="split == 'train'", metavar="EXPRESSION")
    parser.add_argument("--size", type=int, nargs="+", default=[96, 256], metavar="S")
    parser.add_argument("--windows", type=int, default=3, metavar="N", help="of 256 samples (3)")
    arguments = parser.parse_args()
    cv2.setNumThreads(0)  # as in a data task
    table = Table("rows", "size", "bytes a mask", "bytes read a sample", "CPU ms a sample", "median fMSE")
    datasets = {name: Dataset.open(getattr(arguments, name)) for name in ("pairs", "photographs")}
    for size in arguments.size:
        specs = {
            name: StreamSpec(dataset, _BATCH_SIZE, selection=Selection(arguments.select), size=size)
            for name, dataset in datasets.items()
        }
        windows: dict[str, list[Window]] = {name: [] for name in specs}
        for number in range(arguments.windows + 1):
            for name, spec in specs.items():
                windows[name].append(measure_window(spec, number))
        for name, spec in specs.items():
            measured = windows[name][1:]  # the first has loaded the libraries
            table.add_row(
                name,
                str(size),
                f"{stored_bytes(datasets[name]) / mask_count(datasets[name]):,.0f}",
                f"{read_bytes_per_sample(spec):,.0f}",
                ", ".join(f"{window.cpu_ms:.2f}" for window in measured),
                f"{statistics.median(window.fmse for window in measured):.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
