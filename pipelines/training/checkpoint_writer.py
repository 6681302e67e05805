"""Writing checkpoints and the best model while training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from charmnet.methods import Method
from charmnet.weights import Snapshot, snapshot
from pipelines.evaluation.report import metric_name
from pipelines.runs.checkpoints import TrainingState, Uploader, collect_checkpoints, register_checkpoint
from pipelines.runs.run_folder import RunFolder, checkpoint_name
from pipelines.runtime.retry import retry_storage
from pipelines.tracking import Tracker
from pipelines.training.job import TrainingJob
from pipelines.training.validation import judged_by
from pipelines.training.worker import Worker

T = TypeVar("T")


@dataclass(frozen=True)
class BestModel:
    """The best model of a run so far.

    Attributes:
        step: step that it was validated at.
        metric: name of the metric in the tracker.
        value: its value.
    """

    step: int
    metric: str
    value: float


class CheckpointWriter:
    """A worker's part in saving; the first one copies the state and uploads it in a thread.

    Args:
        job: job of the run.
        worker: this worker.
        state: state that is saved.
        tracker: tracker of the run on the first worker, else one that records nothing.
        best: best model so far.
    """

    def __init__(
        self, job: TrainingJob, worker: Worker, state: TrainingState, tracker: Tracker, best: BestModel | None
    ) -> None:
        self._job = job
        self._worker = worker
        self._state = state
        self._tracker = tracker
        self._best = best
        self._uploader = Uploader()
        self._snapshot: Snapshot | None = None  # the last one; its memory is used again
        self._has_extra_state = type(state.method).extra_state is not Method.extra_state

    def save(self, step: int, metadata: dict[str, Any], scores: dict[str, float], *, register: bool) -> None:
        """Copy the state as it is now and upload it while training goes on.

        Args:
            step: number of finished steps.
            metadata: metadata of the checkpoint.
            scores: validation of this step, if there was one; the state is kept as the best if it is.
            register: whether it becomes a checkpoint, for which all workers call this at once.
        """
        started = time.perf_counter()
        worker_states = self._worker.gather(self._state.method.extra_state()) if self._has_extra_state else []
        if register:
            self._worker.barrier()  # none is registered before every worker's log is written
        best = self._new_best(step, scores)
        if self._worker.is_first and (register or best):
            self._uploader.wait()  # for the memory of the copy
            self._snapshot = snapshot(
                self._state.method,
                metadata,
                into=self._snapshot,
                average=self._state.average,
                worker_states=worker_states,
            )
            pending = self._tracker.pending() if register else None
            upload = partial(self._upload, self._snapshot, step, scores, pending=pending, best=best)
            self._uploader.submit(upload)
        seconds = time.perf_counter() - started
        self._tracker.log_metrics({"throughput/checkpoint_seconds": seconds}, step)

    def wait(self) -> None:
        """Wait until everything is uploaded.

        Raises:
            StorageError: an upload failed.
        """
        self._uploader.wait()

    def _new_best(self, step: int, scores: dict[str, float]) -> BestModel | None:
        """Return what is noted of the model if it is the best so far by the first validation split."""
        config = self._job.config
        figure, sign = judged_by(self._state.method, config)
        metric = f"eval/{metric_name((*config.validate_splits, '')[0])}/{figure}"
        if not self._worker.is_first or metric not in scores:
            return None
        if self._best is not None and sign * scores[metric] >= sign * self._best.value:
            return None
        self._best = BestModel(step, metric, scores[metric])
        return self._best

    def _upload(
        self,
        state: Snapshot,
        step: int,
        scores: dict[str, float],
        *,
        pending: bytes | None,
        best: BestModel | None,
    ) -> None:
        if pending is not None:  # a checkpoint is the more urgent
            self._register(state, step, scores, pending)
        if best is not None:
            folder = RunFolder(self._job.run_folder)
            self._retried(partial(folder.save_best, state, best.step, best.metric, best.value))

    def _register(self, state: Snapshot, step: int, scores: dict[str, float], pending: bytes) -> None:
        folder = self._job.run_folder
        name = checkpoint_name(step)
        self._retried(partial(register_checkpoint, folder, name, state, pending))
        self._tracker.log_checkpoint(f"{folder}/{name}", step, scores)
        kept = self._retried(partial(collect_checkpoints, folder, name, self._job.config.keep_checkpoints))
        self._tracker.log_kept_checkpoints([f"{folder}/{name}" for name in kept], step)

    def _retried(self, action: Callable[[], T]) -> T:
        timeout_seconds = self._job.config.storage_timeout_seconds
        return retry_storage(action, timeout_seconds, self._job.coordinator.notify)
