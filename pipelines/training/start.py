"""Where a worker group's training begins: at the newest checkpoint, at another model's weights, or anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from charmnet.errors import WeightsError
from pipelines.runs.attempts import begin_attempt
from pipelines.runs.checkpoints import Restored, TrainingState, collect_checkpoints, restore, restore_newest
from pipelines.runs.models import load_model
from pipelines.runtime.retry import retry_storage
from pipelines.training.job import TrainingJob
from pipelines.training.worker import Worker

T = TypeVar("T")


@dataclass(frozen=True)
class Start:
    """Where training begins.

    Attributes:
        step: number of finished steps.
        attempt: number of this start of the workers.
        pending: metrics that the tracker had not sent when the checkpoint was saved, if there is one.
    """

    step: int
    attempt: int
    pending: bytes | None


def begin(job: TrainingJob, worker: Worker, state: TrainingState) -> Start:
    """Give the state to go on from to a worker's networks; all workers of a group call it at once.

    Raises:
        WeightsError: there are checkpoints and none is whole, which starting again would not mend.
        StorageError: the store does not answer.
    """
    restored, attempt = _begin_attempt(job, worker, state) if worker.is_first else (None, None)
    chosen = (restored.name if restored else None, attempt)
    name, number = worker.broadcast(chosen)
    if name and not worker.is_first:
        restored = _retried(job, partial(restore, job.run_folder, name, state))
    if restored is None and job.config.init:
        tracking_uri = job.tracking.tracking_uri if job.tracking else None
        state.method.warm_start(_retried(job, partial(load_model, job.config.init, tracking_uri)))
        if state.average is not None:
            state.average.restart()
    step = restored.metadata["step"] if restored else 0
    return Start(step, number, restored.pending if restored else None)


def _begin_attempt(job: TrainingJob, worker: Worker, state: TrainingState) -> tuple[Restored | None, int]:
    """Find the checkpoint, remove useless ones and write down the attempt: the first worker's part."""
    folder = job.run_folder
    try:
        restored = _retried(job, partial(restore_newest, folder, state, job.coordinator.notify))
    except WeightsError as error:
        job.coordinator.fail(str(error))
        raise
    newest = restored.name if restored else None
    _retried(job, partial(collect_checkpoints, folder, newest, job.config.keep_checkpoints))
    attempt = _retried(
        job,
        partial(
            begin_attempt,
            folder,
            restored.metadata["step"] if restored else 0,
            parent=restored.metadata.get("attempt") if restored else None,
            workers=worker.num_workers,
            audited=job.config.audit,
            datasets=job.datasets,
        ),
    )
    return restored, attempt.number


def _retried(job: TrainingJob, action: Callable[[], T]) -> T:
    return retry_storage(action, job.config.storage_timeout_seconds, job.coordinator.notify)
