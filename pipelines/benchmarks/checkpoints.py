"""Checkpoints: how long training stands still for one, and how long its upload takes meanwhile.

  python -m pipelines.benchmarks.checkpoints [--width 64] [--method charmnet] [--times 7] [--storage URI]

The loop itself copies networks and optimizers in memory, the first time into new memory. While another thread
writes the copy, this one goes on with small operations of torch: its longest pause shows how long the upload
keeps the loop waiting, since Python runs one thread at a time.
Without --storage a SeaweedFS is started for it.
"""

from __future__ import annotations

import operator
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from charmnet.methods import METHODS, Method, build_method
from charmnet.weights import Snapshot, snapshot
from pipelines.benchmarks.options import benchmark_parser
from pipelines.runs.checkpoints import Uploader, collect_checkpoints, register_checkpoint
from pipelines.runs.run_folder import checkpoint_name
from pipelines.runtime.storage import Location
from pipelines.services.local import ObjectStore, use_servers

MEGABYTE = 1 << 20
_QUIET_SECONDS = 2.0


def stepped_method(name: str, width: int) -> Method:
    """Return a method whose optimizers hold the state that they have in training."""
    method = build_method(name, width=width, seed=0)
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.zero_grad()
    return method


def longest_pause(busy: Callable[[], bool]) -> float:
    """Return the seconds of the longest of many small operations that are made while `busy` says yes."""
    values = torch.zeros(1000)
    longest = 0.0
    while busy():
        started = time.perf_counter()
        values.add_(1.0)
        longest = max(longest, time.perf_counter() - started)
    return longest


def measure(method: Method, storage: Location, times: int) -> np.ndarray:
    """Return float64 [times, 3] in seconds: the copy, its upload, the longest pause during the upload."""
    uploader = Uploader()
    state = None
    figures = []
    for step in range(1, times + 1):
        started = time.perf_counter()
        state = snapshot(method, {"step": step}, into=state)
        copied = time.perf_counter()
        end_times: list[float] = []
        uploader.submit(partial(upload, storage, step, state, end_times))
        pause = longest_pause(partial(operator.not_, end_times))
        uploader.wait()
        figures.append([copied - started, end_times[0] - copied, pause])
    return np.array(figures)


def upload(storage: Location, step: int, state: Snapshot, end_times: list[float]) -> None:
    """Save a checkpoint as a run's uploader does, and append the time of its end."""
    try:
        register_checkpoint(storage, checkpoint_name(step), state)
        collect_checkpoints(storage, checkpoint_name(step), 1)
    finally:
        end_times.append(time.perf_counter())


def report(method: Method, storage: Location, times: int) -> None:
    """Measure and print."""
    state = snapshot(method, {})
    size = sum(tensor.nbytes for tensors in state.tensors.values() for tensor in tensors.values())
    deadline = time.perf_counter() + _QUIET_SECONDS
    quiet = longest_pause(lambda: time.perf_counter() < deadline)
    figures = measure(method, storage, times)
    print(
        f"{method.name} of width {method.arguments['width']}: {size / MEGABYTE:,.0f} MiB, {times} checkpoints"
    )
    print(f"  {'the loop stands still the first time':37} {figures[0, 0]:.3f} s")
    names = ("the loop stands still after that", "upload behind it", "longest pause meanwhile")
    for name, seconds in zip(names, figures[1:].T, strict=True):
        print(f"  {name:37} median {np.median(seconds):.3f} s, longest {seconds.max():.3f} s")
    print(f"  {'longest pause without an upload':37} {quiet:.3f} s")


def main() -> None:
    """Measure onto the storage that the command names, else onto an object store of its own."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--method", choices=METHODS, default="charmnet")
    parser.add_argument("--width", type=int, default=64, help="of the networks (default 64)")
    parser.add_argument("--times", type=int, default=7, help="how many checkpoints (default 7)")
    parser.add_argument("--storage", metavar="URI", help="a folder that nothing else uses")
    arguments = parser.parse_args()
    method = stepped_method(arguments.method, arguments.width)
    if arguments.storage:
        report(method, Location.of(arguments.storage), arguments.times)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(Path(folder))
        store.start()
        try:
            use_servers(store.environment())
            report(method, Location.of(store.uri) / "checkpoints", arguments.times)
        finally:
            store.stop(grace_seconds=1)


if __name__ == "__main__":
    main()
