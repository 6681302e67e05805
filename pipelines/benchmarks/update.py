"""The training step with its tensors in memory.

Full CharmNet updates at 256x256 in turns: this project's in float32 and in bf16, and the plain way of writing
it down in float32, beside the matrix products that the machine can do. Each is in a process of its own; peak
memory is that of further ones. On a GPU, where torch makes convolutions of float32 in TF32, so are the
products; and this project's updates stand there twice: as they are, and replayed as CUDA graphs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.results import Comparison
from pipelines.benchmarks.update_worker import (
    PLAIN,
    REPLAYED,
    WARM_UP_STEPS,
    Turn,
    UpdateWorker,
    UpdateWorkerOptions,
    stepper,
    synchronize,
)

MEBIBYTE = 1 << 20
_MATRIX_SIDES = {"cpu": 2048, "cuda": 8192}
_BASELINE = "plain float32"
_PRECISIONS = ("float32", "bf16")
_UPDATES: dict[str, dict[str, tuple[str, bool]]] = {
    "cpu": {
        _BASELINE: (PLAIN, False),
        "plain float32, huge pages": (PLAIN, True),
        "float32": ("float32", True),
        "bf16": ("bf16", True),
    },
    "cuda": {
        _BASELINE: (PLAIN, False),
        **{name: (name, True) for precision in _PRECISIONS for name in (precision, precision + REPLAYED)},
    },
}
"""By device and name: the update of `stepper`, and whether huge pages are asked for."""

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
_MEMORY_STEPS = 6
_ARGUMENTS = ("batch", "memory_batch", "width", "threads", "rounds", "steps", "device")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `charmnet bench update`."""
    parser.add_argument("--batch", type=int, default=4, help="pairs a step (default: %(default)s)")
    parser.add_argument("--memory-batch", type=int, default=8, help="the same for memory (default: 8)")
    parser.add_argument("--width", type=int, default=64, help="of the networks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=8, help="turns for each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="steps a turn (default: %(default)s)")
    parser.add_argument("--device", choices=_UPDATES, default="cpu", help="default: %(default)s")


def measure(arguments: argparse.Namespace) -> Measurement:
    """Measure rates in turns, then memory."""
    torch.set_num_threads(arguments.threads)
    products, turns = _take_turns(arguments)
    gflop_per_pair = _gflop_per_pair(arguments)
    product_gflop = 2 * _MATRIX_SIDES[arguments.device] ** 3 / 1e9
    products_per_step = gflop_per_pair * arguments.batch / product_gflop
    limits = {
        precision: Turn(
            seconds=products_per_step * min(turn.seconds for turn in product_turns),
            cpu_seconds=products_per_step * min(turn.cpu_seconds for turn in product_turns),
        )
        for precision, product_turns in products.items()
    }
    updates = update_figures(turns, arguments.batch, limits)
    for name in updates:
        worker = _start_worker(name, arguments, arguments.memory_batch)
        worker.make_steps(_MEMORY_STEPS)
        updates[name] |= worker.end()._asdict()
    figures = {
        "arguments": {name: getattr(arguments, name) for name in _ARGUMENTS},
        "product_gflop": product_gflop,
        "products": products,
        "gflop_per_pair": gflop_per_pair,
        "updates": updates,
    }
    return Measurement(figures, [_table(figures)], update_comparisons(figures))


def _start_worker(name: str, arguments: argparse.Namespace, batch: int) -> UpdateWorker:
    update, huge_pages = _UPDATES[arguments.device][name]
    options = UpdateWorkerOptions(update, arguments.width, batch, arguments.threads, arguments.device)
    return UpdateWorker(options, huge_pages=huge_pages)


def _take_turns(arguments: argparse.Namespace) -> tuple[dict[str, list[Turn]], dict[str, list[Turn]]]:
    """Return the turns of matrix products by precision and those of updates by name, one a round."""
    products: dict[str, list[Turn]] = {precision: [] for precision in _DTYPES}
    workers = {name: _start_worker(name, arguments, arguments.batch) for name in _UPDATES[arguments.device]}
    turns: dict[str, list[Turn]] = {name: [] for name in workers}
    for worker in workers.values():
        worker.make_steps(WARM_UP_STEPS[arguments.device])
    for _ in range(arguments.rounds):
        for precision, dtype in _DTYPES.items():
            products[precision].append(_product(dtype, arguments.steps, arguments.device))
        for name, worker in workers.items():
            turns[name].append(worker.make_steps(arguments.steps))
    for worker in workers.values():
        worker.end()
    return products, turns


def _product(dtype: torch.dtype, times: int, device: str) -> Turn:
    """Return the mean seconds of one product of square matrices."""
    side = _MATRIX_SIDES[device]
    torch.backends.cuda.matmul.allow_tf32 = True  # as convolutions may
    first, second = torch.randn(2, side, side, device=device).to(dtype)
    first @ second
    synchronize(device)
    started = time.perf_counter()
    cpu_started = time.process_time()
    for _ in range(times):
        first @ second
    synchronize(device)
    return Turn((time.perf_counter() - started) / times, (time.process_time() - cpu_started) / times)


def _gflop_per_pair(arguments: argparse.Namespace) -> float:
    """Return the operations of a step's convolutions, forward and backward: 20.4 GFLOP at width 64."""
    step = stepper(PLAIN, arguments.width, arguments.batch)
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops() / 1e9 / arguments.batch)


def update_figures(
    turns: Mapping[str, Sequence[Turn]], batch: int, limits: Mapping[str, Turn]
) -> dict[str, dict[str, Any]]:
    """Return medians of the rounds: rates, ratios to the plain update of the same round, shares of the limit.

    Args:
        turns: of each update by name, one a round.
        batch: pairs of a step.
        limits: time of a step's matrix products alone, by precision.
    """
    figures = {}
    for name, update_turns in turns.items():
        rounds = list(zip(turns[_BASELINE], update_turns, strict=True))
        ratios = [base.seconds / turn.seconds for base, turn in rounds]
        cpu_ratios = [base.cpu_seconds / turn.cpu_seconds for base, turn in rounds]
        seconds = statistics.median(turn.seconds for turn in update_turns)
        cpu_seconds = statistics.median(turn.cpu_seconds for turn in update_turns)
        limit = limits["bf16" if name.startswith("bf16") else "float32"]
        figures[name] = {
            "pairs_per_second": batch / seconds,
            "limit_pairs_per_second": batch / limit.seconds,
            "share_of_limit": limit.seconds / seconds,
            "ratio": statistics.median(ratios),
            "ratio_quartiles": _quartiles(ratios),
            "cpu_seconds": cpu_seconds,
            "cpu_share_of_limit": limit.cpu_seconds / cpu_seconds,
            "cpu_ratio": statistics.median(cpu_ratios),
            "cpu_ratio_quartiles": _quartiles(cpu_ratios),
            "turns": update_turns,
        }
    return figures


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4)[::2] if len(values) > 1 else values * 2


def update_comparisons(figures: dict[str, Any]) -> list[Comparison]:
    """Return speed and memory of this project's updates beside the plain one's."""
    updates = figures["updates"]
    given = figures["arguments"]
    baseline = updates[_BASELINE]
    comparisons = []
    for name, update in updates.items():
        if name.startswith(PLAIN):
            continue
        comparisons += [
            Comparison(
                question=f"update, {name}, {given['batch']} pairs a step, width {given['width']}",
                values=(update["pairs_per_second"],),
                unit="pairs/s",
                beside=_BASELINE,
                beside_values=(baseline["pairs_per_second"],),
                ratios=(update["ratio"],),
            ),
            Comparison(
                question=f"peak memory of the update, {name}, {given['memory_batch']} pairs",
                values=(update["peak_bytes"] / MEBIBYTE,),
                unit="MiB",
                beside=_BASELINE,
                beside_values=(baseline["peak_bytes"] / MEBIBYTE,),
                ratios=(update["peak_bytes"] / baseline["peak_bytes"],),
            ),
        ]
    return comparisons


def draw(figures: dict[str, Any], figure: Figure) -> None:
    """Draw rates beside their limits, and memory."""
    updates = figures["updates"]
    given = figures["arguments"]
    figure.set_size_inches(9, 2.8)
    rates, memory = figure.subplots(1, 2, sharey=True)
    names = list(updates)
    limits = [update["limit_pairs_per_second"] for update in updates.values()]
    rates.barh(names, limits, color="0.9", label="limit")
    bars = rates.barh(names, [update["pairs_per_second"] for update in updates.values()], color="tab:blue")
    labels = [f" {update['pairs_per_second']:.1f} ({update['ratio']:.2f} x)" for update in updates.values()]
    rates.bar_label(bars, labels)
    rates.set_xlabel(f"pairs per second, {given['batch']} a step, {given['threads']} threads")
    rates.legend(loc="lower right", frameon=False)
    sizes = [update["update_bytes"] / MEBIBYTE for update in updates.values()]
    bars = memory.barh(names, sizes, color="tab:orange")
    memory.bar_label(bars, fmt=" %.0f")
    memory.set_xlabel(f"MiB that the update adds, {given['memory_batch']} pairs a step")
    memory.margins(x=0.15)
    rates.invert_yaxis()
    for axes in (rates, memory):
        axes.spines[["top", "right"]].set_visible(False)


def _table(figures: dict[str, Any]) -> Table:
    given = figures["arguments"]
    device = given["device"] if given["device"] != "cpu" else f"{given['threads']} threads"
    title = f"update: width {given['width']}, {given['batch']} pairs, {device}"
    times = ("pairs/s", "ratio", "of limit", "CPU s", "ratio", "of limit")
    memory = ("peak MiB", "the update's", "ratio")
    table = Table("", *times, *memory, title=title)
    baseline = figures["updates"][_BASELINE]["update_bytes"]
    for name, update in figures["updates"].items():
        low, high = update["ratio_quartiles"]
        cpu_low, cpu_high = update["cpu_ratio_quartiles"]
        table.add_row(
            name,
            f"{update['pairs_per_second']:.2f}",
            f"{update['ratio']:.2f} ({low:.2f}-{high:.2f})",
            f"{update['share_of_limit']:.0%} of {update['limit_pairs_per_second']:.1f}",
            f"{update['cpu_seconds']:.2f}",
            f"{update['cpu_ratio']:.2f} ({cpu_low:.2f}-{cpu_high:.2f})",
            f"{update['cpu_share_of_limit']:.0%}",
            f"{update['peak_bytes'] >> 20:,}",
            f"{update['update_bytes'] >> 20:,}",
            f"{update['update_bytes'] / baseline:.2f}",
        )
    return table
