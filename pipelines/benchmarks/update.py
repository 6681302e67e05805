"""The training step with its tensors in memory.

Full CharmNet updates at 256x256 in turns: this project's in float32 and in bf16, and the plain way of writing
it down in float32, beside the matrix products that the machine can do. Peak memory is that of a process of
its own for each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from charmnet.batch import HarmonizationBatch
from charmnet.methods import CharmNetMethod
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.benchmarks.plain_update import PlainUpdate
from pipelines.benchmarks.report import Report

_MATRIX_SIZE = 2048
_BASELINE = "plain float32"
_WARM_UP_STEPS = 2
_LIMITS = {_BASELINE: "float32", "float32": "float32", "bf16": "bf16"}
_MEMORY_STEPS = 3
_GIVEN = ("batch", "memory_batch", "width", "threads", "rounds", "steps")

Step = Callable[[], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=4, help="pairs a step (default: %(default)s)")
    parser.add_argument("--memory-batch", type=int, default=8, help="the same for memory (default: 8)")
    parser.add_argument("--width", type=int, default=64, help="of the networks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=8, help="turns for each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="steps a turn (default: %(default)s)")


def measure(arguments: argparse.Namespace) -> Report:
    torch.set_num_threads(arguments.threads)
    limits, seconds = _time(arguments)
    figures = _speed_figures(limits, seconds, arguments)
    for name in figures["updates"]:
        figures["updates"][name] |= _peak_memory_apart(name, arguments)
    return Report(figures, [_table(figures, arguments)])


def _time(arguments: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """GFLOP/s of matrix products by precision, and seconds a step by update: one value a round."""
    products = {"float32": _product(torch.float32), "bf16": _product(torch.bfloat16)}
    steps = {name: _stepper(name, arguments.width, arguments.batch) for name in _LIMITS}
    for step in (*products.values(), *steps.values()):
        _seconds(step, _WARM_UP_STEPS)
    limits: dict[str, list[float]] = {name: [] for name in products}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, product in products.items():
            limits[name].append(2 * _MATRIX_SIZE**3 / 1e9 / _seconds(product, arguments.steps))
        for name, step in steps.items():
            seconds[name].append(_seconds(step, arguments.steps))
    return limits, seconds


def _product(dtype: torch.dtype) -> Step:
    first, second = torch.randn(2, _MATRIX_SIZE, _MATRIX_SIZE).to(dtype)
    return lambda: first @ second


def _stepper(name: str, width: int, batch: int) -> Step:
    """One training step of the named update."""
    batches = _batches(batch)
    if name != _BASELINE:
        method = CharmNetMethod(width=width, precision=name, seed=0)
        return lambda: method.update(batches)
    plain = PlainUpdate(width)
    rendered, real = (
        (b.composite, b.ground_truth, b.foreground_mask)
        for b in (batches[Domain.RENDERED], batches[Domain.REAL])
    )
    styles = batches[Domain.RENDERED].composite_style, batches[Domain.RENDERED].ground_truth_style
    return lambda: plain.update(rendered, real, styles)  # type: ignore[arg-type]


def _batches(size: int) -> dict[Domain, HarmonizationBatch]:
    """As a worker has them: made of bytes."""
    random = torch.Generator().manual_seed(0)

    def pixels() -> torch.Tensor:
        return torch.randint(256, (size, 256, 256, 3), generator=random, dtype=torch.uint8)

    def mask() -> torch.Tensor:
        return (torch.rand(size, 256, 256, generator=random) > 0.7).to(torch.uint8)

    styles = torch.rand(size, NUM_CONDITIONS, generator=random).softmax(1)
    classes = torch.randint(NUM_CONDITIONS, (size,), generator=random)
    return {
        Domain.RENDERED: HarmonizationBatch.from_uint8(pixels(), pixels(), mask(), styles, classes),
        Domain.REAL: HarmonizationBatch.from_uint8(pixels(), pixels(), mask()),
    }


def _seconds(step: Step, times: int) -> float:
    """Of one step, on average."""
    started = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - started) / times


def _speed_figures(
    limits: dict[str, list[float]], seconds: dict[str, list[float]], arguments: argparse.Namespace
) -> dict[str, Any]:
    product_gflops = {name: max(values) for name, values in limits.items()}
    gflop_per_pair = _gflop_per_pair(arguments)
    updates = {}
    for name, values in seconds.items():
        ratios = [base / own for base, own in zip(seconds[_BASELINE], values, strict=True)]
        pairs = arguments.batch / statistics.median(values)
        limit = product_gflops[_LIMITS[name]] / gflop_per_pair
        updates[name] = {
            "pairs_per_second": pairs,
            "limit_pairs_per_second": limit,
            "share_of_limit": pairs / limit,
            "ratio": statistics.median(ratios),
            "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2] if len(ratios) > 1 else ratios * 2,
            "seconds": values,
        }
    given = {name: getattr(arguments, name) for name in _GIVEN}
    return {
        "arguments": given,
        "product_gflops": product_gflops,
        "gflop_per_pair": gflop_per_pair,
        "updates": updates,
    }


def _gflop_per_pair(arguments: argparse.Namespace) -> float:
    """What the convolutions of a step take, forward and backward: 20.4 at width 64."""
    step = _stepper(_BASELINE, arguments.width, arguments.batch)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9 / arguments.batch


def _peak_memory_apart(name: str, arguments: argparse.Namespace) -> dict[str, int]:
    """`peak_memory` in a process that has done nothing else."""
    numbers = arguments.width, arguments.memory_batch, arguments.threads
    command = [sys.executable, "-m", __name__, name, *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def peak_memory(name: str, width: int, batch: int, threads: int) -> dict[str, int]:
    """Bytes of this process at their peak over a few steps, and what of them came with networks and steps."""
    torch.set_num_threads(threads)
    before = psutil.Process().memory_info().rss
    _seconds(_stepper(name, width, batch), _MEMORY_STEPS)
    # Not of resource.getrusage: that begins with what the parent of this process had.
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    return {"peak_bytes": peak, "update_bytes": peak - before}


def _table(figures: dict[str, Any], arguments: argparse.Namespace) -> Table:
    title = f"update: width {arguments.width}, {arguments.batch} pairs, {arguments.threads} threads"
    columns = ("pairs/s", "ratio (quartiles)", "limit", "of limit", "peak MiB", "of it the update's", "ratio")
    table = Table("", *columns, title=title)
    baseline = figures["updates"][_BASELINE]["update_bytes"]
    for name, own in figures["updates"].items():
        low, high = own["ratio_quartiles"]
        table.add_row(
            name,
            f"{own['pairs_per_second']:.2f}",
            f"{own['ratio']:.2f} ({low:.2f}-{high:.2f})",
            f"{own['limit_pairs_per_second']:.1f}",
            f"{own['share_of_limit']:.0%}",
            f"{own['peak_bytes'] >> 20:,}",
            f"{own['update_bytes'] >> 20:,}",
            f"{own['update_bytes'] / baseline:.2f}",
        )
    return table


if __name__ == "__main__":
    subject, *numbers = sys.argv[1:]
    print(json.dumps(peak_memory(subject, *map(int, numbers))))
