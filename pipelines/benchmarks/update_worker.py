"""A process that makes training steps when it is told to, so that updates take turns and stay apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil
import torch

from charmnet.methods import CharmNetMethod, CudaGraphUpdate
from charmnet.vocabulary import Domain
from pipelines.benchmarks.plain_update import PlainUpdate
from pipelines.benchmarks.processes import peak_bytes
from pipelines.benchmarks.tensors import batches_in_memory

PLAIN = "plain"
REPLAYED = ", replayed"
"""After a precision: as a CUDA graph, as `charmnet train` does with one worker a GPU."""
WARM_UP_STEPS = {"cpu": 2, "cuda": 10}
"""By device, before steps count; on a GPU the update is recorded in them."""
HUGE_PAGES_VARIABLE = "THP_MEM_ALLOC_ENABLE"


class Turn(NamedTuple):
    """Seconds of a step on average, by the clock and of all cores of the processor."""

    seconds: float
    cpu_seconds: float


class Memory(NamedTuple):
    """Bytes of a process at their peak, and how many came with networks, batches and steps; on a GPU its."""

    peak_bytes: int
    update_bytes: int


class Worker:
    """The process, seen from the one that compares.

    Args:
        update: `PLAIN`, or the precision of this project's, perhaps with `REPLAYED`.
        huge_pages: ask the kernel for large pages, as `charmnet train` does.
        width, batch, threads: of the networks, in pairs, and of torch.
        device: cpu or cuda.
    """

    def __init__(
        self, update: str, huge_pages: bool, width: int, batch: int, threads: int, device: str = "cpu"
    ) -> None:
        command = [sys.executable, "-m", __name__, json.dumps([update, width, batch, threads, device])]
        environment = {**os.environ, HUGE_PAGES_VARIABLE: str(int(huge_pages))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def turn(self, steps: int) -> Turn:
        """Makes the steps."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return Turn(*json.loads(self._process.stdout.readline()))

    def end(self) -> Memory:
        """Ends the process and tells its memory."""
        return Memory(*json.loads(self._process.communicate()[0]))


def stepper(update: str, width: int, batch: int, device: str = "cpu") -> Callable[[], object]:
    """One training step of the named update, ready to be made."""
    batches = {domain: own.to(device) for domain, own in batches_in_memory(batch).items()}
    if not update.startswith(PLAIN):
        precision, replayed, _ = update.partition(REPLAYED)
        method = CharmNetMethod(width=width, precision=precision, seed=0).to(device)
        made: Callable[..., Any] = CudaGraphUpdate(method) if replayed else method.update
        return lambda: made(batches)
    plain = PlainUpdate(width, device=device)
    rendered, real = (
        (b.composite.contiguous(), b.ground_truth.contiguous(), b.foreground_mask)
        for b in (batches[Domain.RENDERED], batches[Domain.REAL])
    )
    styles = batches[Domain.RENDERED].composite_style, batches[Domain.RENDERED].ground_truth_style
    return lambda: plain.update(rendered, real, styles)  # type: ignore[arg-type]


def synchronize(device: str) -> None:
    """Waits until a GPU has done all that it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def _work(update: str, width: int, batch: int, threads: int, device: str) -> None:
    """Answers each number of steps that it reads with a `Turn`, and the end of input with its `Memory`."""
    torch.set_num_threads(threads)
    before = psutil.Process().memory_info().rss
    step = stepper(update, width, batch, device)
    for line in sys.stdin:
        started, cpu_started = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        synchronize(device)
        passed = time.perf_counter() - started, time.process_time() - cpu_started
        print(json.dumps([seconds / int(line) for seconds in passed]), flush=True)
    print(json.dumps(_memory(device, before)), flush=True)


def _memory(device: str, before: int) -> Memory:
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
        return Memory(peak, peak)
    peak = peak_bytes()
    return Memory(peak, peak - before)


if __name__ == "__main__":
    _work(*json.loads(sys.argv[1]))
