"""Process that makes training steps on request, so that updates take turns and share no memory."""

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
from pipelines.benchmarks.plain_update import PlainBatch, PlainUpdate
from pipelines.benchmarks.processes import peak_bytes
from pipelines.benchmarks.tensors import batches_in_memory

PLAIN = "plain"
REPLAYED = ", replayed"
"""After a precision: as a CUDA graph, as `charmnet train` does with one worker a GPU."""
WARM_UP_STEPS = {"cpu": 2, "cuda": 10}
"""By device, before steps count; on a GPU the update is recorded in them."""
HUGE_PAGES_VARIABLE = "THP_MEM_ALLOC_ENABLE"
_MODULE = "pipelines.benchmarks.update_worker"


class Turn(NamedTuple):
    """Mean seconds of a step, by the clock and of all cores of the processor."""

    seconds: float
    cpu_seconds: float


class Memory(NamedTuple):
    """Memory of a process; on a GPU that of the GPU.

    Attributes:
        peak_bytes: the most that it held.
        update_bytes: the part of it that came with networks, batches and steps.
    """

    peak_bytes: int
    update_bytes: int


class UpdateWorkerOptions(NamedTuple):
    """Update that a process makes.

    Attributes:
        update: `PLAIN`, or the precision of this project's, perhaps with `REPLAYED`.
        width: of the networks.
        batch: pairs of a step.
        threads: of torch.
        device: cpu or cuda.
    """

    update: str
    width: int
    batch: int
    threads: int
    device: str = "cpu"


class UpdateWorker:
    """The process, as seen from the one that compares.

    Args:
        options: the update.
        huge_pages: ask the kernel for large pages, as `charmnet train` does.
    """

    def __init__(self, options: UpdateWorkerOptions, *, huge_pages: bool) -> None:
        command = [sys.executable, "-m", _MODULE, json.dumps(options)]
        environment = {**os.environ, HUGE_PAGES_VARIABLE: str(int(huge_pages))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def make_steps(self, steps: int) -> Turn:
        """Make steps and return their mean times."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return Turn(*json.loads(self._process.stdout.readline()))

    def end(self) -> Memory:
        """End the process and return its memory."""
        return Memory(*json.loads(self._process.communicate()[0]))


def stepper(update: str, width: int, batch: int, device: str = "cpu") -> Callable[[], object]:
    """Return a function that makes one training step of the named update."""
    batches = {domain: memory_batch.to(device) for domain, memory_batch in batches_in_memory(batch).items()}
    if not update.startswith(PLAIN):
        precision, replayed, _ = update.partition(REPLAYED)
        method = CharmNetMethod(width=width, precision=precision, seed=0).to(device)
        make_update: Callable[..., Any] = CudaGraphUpdate(method) if replayed else method.update
        return lambda: make_update(batches)
    plain = PlainUpdate(width, device=device)
    rendered, real = (
        PlainBatch(
            composite=domain_batch.composite.contiguous(),
            ground_truth=domain_batch.ground_truth.contiguous(),
            mask=domain_batch.foreground_mask,
        )
        for domain_batch in (batches[Domain.RENDERED], batches[Domain.REAL])
    )
    composite_style = batches[Domain.RENDERED].composite_style
    ground_truth_style = batches[Domain.RENDERED].ground_truth_style
    assert composite_style is not None
    assert ground_truth_style is not None
    return lambda: plain.update(rendered, real, (composite_style, ground_truth_style))


def synchronize(device: str) -> None:
    """Wait until a GPU has done all its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def serve(options: UpdateWorkerOptions) -> None:
    """Answer each number of steps on standard input with a `Turn`, and its end with the `Memory`."""
    torch.set_num_threads(options.threads)
    before = psutil.Process().memory_info().rss
    step = stepper(options.update, options.width, options.batch, options.device)
    for line in sys.stdin:
        steps = int(line)
        started = time.perf_counter()
        cpu_started = time.process_time()
        for _ in range(steps):
            step()
        synchronize(options.device)
        seconds = time.perf_counter() - started
        cpu_seconds = time.process_time() - cpu_started
        print(json.dumps(Turn(seconds / steps, cpu_seconds / steps)), flush=True)
    print(json.dumps(_memory(options.device, before)), flush=True)


def _memory(device: str, before: int) -> Memory:
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
        return Memory(peak, peak)
    peak = peak_bytes()
    return Memory(peak, peak - before)


if __name__ == "__main__":
    serve(UpdateWorkerOptions(*json.loads(sys.argv[1])))
