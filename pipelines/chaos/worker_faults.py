"""Faults within a worker: `python -m pipelines.chaos.worker_faults train ...` is `charmnet train` with one.

The fault stands in an environment variable of the job. It happens once, however often the workers start.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.runtime.cluster import prepare_environment

FAULT_VARIABLE = "CHARMNET_WORKER_FAULT"
FAULTY_DRIVER = "-m pipelines.chaos.worker_faults train"
"""Command of a run's driver whose workers have a fault."""

_FLIPPED_BIT = 20  # of a weight's 32: in its mantissa, so that every loss stays finite


@dataclass(frozen=True)
class WorkerFault:
    """Fault of one worker.

    Attributes:
        kind: what happens: `nan` in its batch; `flip` of a bit in its weights; `stuck`, an update that never
            ends; `gil`, a call in C that lets no other thread of Python run; `pause` before a checkpoint, as
            of a long validation.
        rank: rank of the worker.
        step: step before whose update it happens, from 1; of a `pause`, the checkpoint's.
        marker: file that is made when it happens.
        seconds: how long a call or a pause takes.
    """

    kind: Literal["nan", "flip", "stuck", "gil", "pause"]
    rank: int
    step: int
    marker: str
    seconds: float = 0.0

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables of the job."""
        return {FAULT_VARIABLE: json.dumps(asdict(self))}

    @property
    def times(self) -> int:
        """How often it happened."""
        return int(Path(self.marker).exists())


def train_worker(loop_config: dict[str, Any]) -> None:
    """Train as `pipelines.training.loop.train_worker`, with the fault."""
    from pipelines.training import loop as module  # it loads Ray

    fault = WorkerFault(**json.loads(os.environ[FAULT_VARIABLE]))
    build_loop = module.build_loop

    def build_faulty_loop(job: Any, worker: Any) -> Any:
        loop = build_loop(job, worker)
        if worker.rank == fault.rank and fault.kind == "pause":
            pausing = _pausing(loop, loop.method.synchronize_statistics, fault)
            vars(loop.method)["synchronize_statistics"] = pausing
        elif worker.rank == fault.rank:
            loop.update = _faulty(loop, loop.update, fault)
        return loop

    module.build_loop = build_faulty_loop
    try:
        module.train_worker(loop_config)
    finally:
        module.build_loop = build_loop


def _faulty(loop: Any, update: Callable[..., Any], fault: WorkerFault) -> Callable[..., Any]:
    def faulty(batches: Any, weight: float) -> Any:
        if loop.step + 1 == fault.step:
            with suppress(FileExistsError):
                Path(fault.marker).touch(exist_ok=False)
                _break(fault, loop, batches)
        return update(batches, weight)

    return faulty


def _pausing(loop: Any, synchronize: Callable[[], None], fault: WorkerFault) -> Callable[[], None]:
    def pausing() -> None:
        if loop.step == fault.step:
            with suppress(FileExistsError):
                Path(fault.marker).touch(exist_ok=False)
                time.sleep(fault.seconds)
        synchronize()

    return pausing


def _break(fault: WorkerFault, loop: Any, batches: Any) -> None:
    import torch

    if fault.kind == "nan":
        next(iter(batches.values())).composite.fill_(float("nan"))
    elif fault.kind == "flip":
        weight = next(next(iter(loop.method.modules.values())).parameters()).detach()
        weight[(0,) * weight.dim()].view(torch.int32).bitwise_xor_(1 << _FLIPPED_BIT)
    elif fault.kind == "stuck":
        threading.Event().wait()
    else:
        _hold_interpreter(fault.seconds)


def _hold_interpreter(seconds: float) -> None:
    """Let no other thread of Python run: `sum` of a range is one call in C."""
    trial = 10**6
    started = time.perf_counter()
    sum(range(trial))
    sum(range(int(trial * seconds / (time.perf_counter() - started))))


def main() -> None:
    """Run the command with workers that have the fault."""
    prepare_environment()  # before Ray is imported
    from pipelines.training import loop

    loop.train_worker = train_worker
    runpy.run_module("pipelines", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    importlib.import_module(__spec__.name).main()  # workers find what is sent to them by its module's name
