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
from typing import Any

import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from pipelines.benchmarks.report import Report
from pipelines.benchmarks.update_worker import (
    PLAIN,
    REPLAYED,
    WARM_UP_STEPS,
    Turn,
    Worker,
    stepper,
    synchronize,
)

_MATRIX_SIZES = {"cpu": 2048, "cuda": 8192}
_BASELINE = "plain float32"
_UPDATES = {  # by device: what is made, and whether with huge pages
    "cpu": {
        _BASELINE: (PLAIN, False),
        "plain float32, huge pages": (PLAIN, True),
        "float32": ("float32", True),
        "bf16": ("bf16", True),
    },
    "cuda": {
        _BASELINE: (PLAIN, False),
        **{name: (name, True) for p in ("float32", "bf16") for name in (p, p + REPLAYED)},
    },
}
_PRODUCTS = {"float32": torch.float32, "bf16": torch.bfloat16}
_MEMORY_STEPS = 6
_GIVEN = ("batch", "memory_batch", "width", "threads", "rounds", "steps", "device")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=4, help="pairs a step (default: %(default)s)")
    parser.add_argument("--memory-batch", type=int, default=8, help="the same for memory (default: 8)")
    parser.add_argument("--width", type=int, default=64, help="of the networks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=8, help="turns for each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="steps a turn (default: %(default)s)")
    parser.add_argument("--device", choices=_UPDATES, default="cpu", help="default: %(default)s")


def measure(arguments: argparse.Namespace) -> Report:
    given = {name: getattr(arguments, name) for name in _GIVEN}
    torch.set_num_threads(arguments.threads)
    products, turns = _take_turns(arguments)
    gflop_per_pair = _gflop_per_pair(arguments)
    product_gflop = 2 * _MATRIX_SIZES[arguments.device] ** 3 / 1e9
    scale = gflop_per_pair * arguments.batch / product_gflop  # a step's in products
    limits = {
        name: Turn(*(scale * min(values) for values in zip(*own, strict=True)))
        for name, own in products.items()
    }
    updates = update_figures(turns, arguments.batch, limits)
    for name in updates:
        worker = _worker(name, arguments, arguments.memory_batch)
        worker.turn(_MEMORY_STEPS)
        updates[name] |= worker.end()._asdict()
    figures = {
        "arguments": given,
        "product_gflop": product_gflop,
        "products": products,
        "gflop_per_pair": gflop_per_pair,
        "updates": updates,
    }
    return Report(figures, [_table(figures)])


def _worker(name: str, arguments: argparse.Namespace, batch: int) -> Worker:
    update, huge_pages = _UPDATES[arguments.device][name]
    return Worker(update, huge_pages, arguments.width, batch, arguments.threads, arguments.device)


def _take_turns(arguments: argparse.Namespace) -> tuple[dict[str, list[Turn]], dict[str, list[Turn]]]:
    """Of matrix products by precision, and of the updates: one a round."""
    products: dict[str, list[Turn]] = {name: [] for name in _PRODUCTS}
    workers = {name: _worker(name, arguments, arguments.batch) for name in _UPDATES[arguments.device]}
    turns: dict[str, list[Turn]] = {name: [] for name in workers}
    for worker in workers.values():
        worker.turn(WARM_UP_STEPS[arguments.device])
    for _ in range(arguments.rounds):
        for name, dtype in _PRODUCTS.items():
            products[name].append(_product(dtype, arguments.steps, arguments.device))
        for name, worker in workers.items():
            turns[name].append(worker.turn(arguments.steps))
    for worker in workers.values():
        worker.end()
    return products, turns


def _product(dtype: torch.dtype, times: int, device: str) -> Turn:
    """One product of square matrices, on average."""
    size = _MATRIX_SIZES[device]
    torch.backends.cuda.matmul.allow_tf32 = True  # as convolutions may
    first, second = torch.randn(2, size, size, device=device).to(dtype)
    first @ second
    synchronize(device)
    started, cpu_started = time.perf_counter(), time.process_time()
    for _ in range(times):
        first @ second
    synchronize(device)
    return Turn((time.perf_counter() - started) / times, (time.process_time() - cpu_started) / times)


def _gflop_per_pair(arguments: argparse.Namespace) -> float:
    """What the convolutions of a step take, forward and backward: 20.4 at width 64."""
    step = stepper(PLAIN, arguments.width, arguments.batch)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9 / arguments.batch


def update_figures(
    turns: dict[str, list[Turn]], batch: int, limits: dict[str, Turn]
) -> dict[str, dict[str, Any]]:
    """Medians of the rounds: rates, ratios to the plain update of the same round, and shares of the limit.

    Args:
        turns: of each update, one a round.
        limits: what a step's matrix products alone take, by precision.
    """
    figures = {}
    for name, own in turns.items():
        rounds = list(zip(turns[_BASELINE], own, strict=True))
        ratios = [base.seconds / turn.seconds for base, turn in rounds]
        cpu_ratios = [base.cpu_seconds / turn.cpu_seconds for base, turn in rounds]
        seconds, cpu_seconds = (statistics.median(values) for values in zip(*own, strict=True))
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
            "turns": own,
        }
    return figures


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4)[::2] if len(values) > 1 else values * 2


def _table(figures: dict[str, Any]) -> Table:
    given = figures["arguments"]
    where = given["device"] if given["device"] != "cpu" else f"{given['threads']} threads"
    title = f"update: width {given['width']}, {given['batch']} pairs, {where}"
    times = ("pairs/s", "ratio", "of limit", "CPU s", "ratio", "of limit")
    memory = ("peak MiB", "the update's", "ratio")
    table = Table("", *times, *memory, title=title)
    baseline = figures["updates"][_BASELINE]["update_bytes"]
    for name, own in figures["updates"].items():
        (low, high), (cpu_low, cpu_high) = own["ratio_quartiles"], own["cpu_ratio_quartiles"]
        table.add_row(
            name,
            f"{own['pairs_per_second']:.2f}",
            f"{own['ratio']:.2f} ({low:.2f}-{high:.2f})",
            f"{own['share_of_limit']:.0%} of {own['limit_pairs_per_second']:.1f}",
            f"{own['cpu_seconds']:.2f}",
            f"{own['cpu_ratio']:.2f} ({cpu_low:.2f}-{cpu_high:.2f})",
            f"{own['cpu_share_of_limit']:.0%}",
            f"{own['peak_bytes'] >> 20:,}",
            f"{own['update_bytes'] >> 20:,}",
            f"{own['update_bytes'] / baseline:.2f}",
        )
    return table
