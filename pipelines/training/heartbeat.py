"""Signs of life of a worker, sent from a thread, and its stack at a signal."""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import ray

from pipelines.runtime.concurrency import in_background
from pipelines.training.coordinator import RunCoordinatorClient
from pipelines.training.hangs import BEAT_SECONDS, Beat, PhaseClock

STACK_SIGNAL = signal.SIGUSR1
"""At this signal a worker writes the stacks of all its threads, whoever holds Python's interpreter."""


@contextmanager
def heartbeat(rank: int, phases: PhaseClock, coordinator: RunCoordinatorClient) -> Iterator[None]:
    """Inside, this worker gives signs of life to the run's coordinator.

    Args:
        rank: rank of the worker.
        phases: what it is doing.
        coordinator: client of the run-wide state.
    """
    path = Path(tempfile.gettempdir()) / f"charmnet-stack-{os.getpid()}.txt"
    started = float(psutil.Process().create_time())
    node = ray.get_runtime_context().get_node_id()

    def beat() -> Beat:
        phase, seconds = phases.now()
        return Beat(
            rank=rank,
            node=node,
            pid=os.getpid(),
            started_seconds=started,
            stack_file=str(path),
            step=phases.step,
            phase=phase,
            phase_seconds=seconds,
            longest_update=phases.longest_update,
        )

    def run(ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            coordinator.beat(beat())

    with path.open("w") as file:
        faulthandler.register(STACK_SIGNAL, file=file, all_threads=True)
        coordinator.beat(beat())
        try:
            with in_background(run, "heartbeat"):
                yield
        finally:
            coordinator.forget([beat()])
            faulthandler.unregister(STACK_SIGNAL)
            path.unlink(missing_ok=True)
