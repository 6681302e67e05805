"""Running the workers with Ray Train, while this process listens for signals and shows progress."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from charmnet.errors import CharmNetError, in_words
from pipelines.runs.checkpoints import newest_metadata
from pipelines.runtime.console import progress
from pipelines.runtime.retry import retry_storage
from pipelines.tracking import Tracker
from pipelines.training.awaited import WORKERS
from pipelines.training.hangs import Hang
from pipelines.training.job import TrainingJob

_POLL_SECONDS = 0.5
_MOST_NAME_CHARACTERS = 100
_RESIZE_CHECK_SECONDS = 20.0
"""Interval in which an elastic group looks for new nodes; Ray's view of them may be as old as that, too."""
_STOP_GRACE_SECONDS = 100.0
"""From a stop request to giving up on the workers: those that wait for a cluster to grow never see it."""


class TrainingFailedError(CharmNetError):
    """The run ended before its last step, and not because it was asked to."""


class StopRequest:
    """A request to stop the run: SIGTERM (`ray job stop`) or SIGINT (Ctrl-C)."""

    def __init__(self) -> None:
        self.made_at: float | None = None

    def make(self, *_: Any) -> None:
        """Record the time of the request; `fit` polls it, since a signal handler must not call Ray."""
        self.made_at = self.made_at or time.monotonic()

    @property
    def grace_is_over(self) -> bool:
        """Whether the workers had time enough to stop."""
        return self.made_at is not None and time.monotonic() - self.made_at > _STOP_GRACE_SECONDS


@dataclass(frozen=True)
class FitResult:
    """Outcome of the workers.

    Attributes:
        step: last step that is saved; 0 where nothing was saved.
        metrics: scores of the last validation.
        checkpoint: name of the last checkpoint in the run's folder, if there is one.
    """

    step: int
    metrics: dict[str, float]
    checkpoint: str | None


def fit(
    trainer: Any, job: TrainingJob, stop: StopRequest, tracker: Tracker, while_starting: Callable[[], None]
) -> FitResult:
    """Run the workers to the last step, or to where they are asked to stop.

    Args:
        trainer: see `build_trainer`.
        job: job of the run.
        stop: request that is passed on to the workers.
        tracker: tracker of the run, for workers that hang.
        while_starting: called while the workers start.

    Raises:
        TrainingFailedError: they broke down more often than `max_failures` allows, or gave up.
    """
    try:
        outcome = _in_thread(trainer.fit)
        while_starting()
        _watch(outcome, job, stop, tracker)
    except CharmNetError:
        raise
    except Exception as error:
        reason = job.coordinator.failure() or _reason(error)
        raise TrainingFailedError(f"the run {job.run_folder} failed: {reason}") from error
    failure = job.coordinator.failure()
    if failure:
        raise TrainingFailedError(f"the run {job.run_folder} failed: {failure}")
    newest = retry_storage(lambda: newest_metadata(job.run_folder), job.config.storage_timeout_seconds)
    if newest is None:
        return FitResult(0, {}, None)
    checkpoint, metadata = newest
    return FitResult(metadata["step"], metadata.get("metrics", {}), checkpoint)


@contextmanager
def build_trainer(job: TrainingJob, name: str) -> Iterator[Any]:
    """Inside, Ray Train's trainer of a run is ready to `fit`."""
    with tempfile.TemporaryDirectory(prefix="charmnet-run-", ignore_cleanup_errors=True) as scratch:
        yield _trainer(job, name, scratch)


def _trainer(job: TrainingJob, name: str, scratch: str) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from pipelines.training.loop import train_worker

    fewest, most = job.config.worker_range
    use_gpu = job.placement.use_gpu
    resources = {"CPU": job.placement.cpus_per_worker} | ({"GPU": 1.0} if use_gpu else {})
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=fewest if fewest == most else (fewest, most),  # type: ignore[arg-type]
            use_gpu=use_gpu,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=_RESIZE_CHECK_SECONDS,  # type: ignore[call-arg]  # of Train V2
        ),
        run_config=RunConfig(
            name=quote(name, safe="")[:_MOST_NAME_CHARACTERS],  # Ray takes ASCII alone
            storage_path=scratch,  # of no use: the workers keep their checkpoints themselves
            failure_config=FailureConfig(max_failures=job.config.max_failures),
        ),
    )


def _in_thread(call: Any) -> Future[Any]:
    """Return the outcome of a call in a separate thread: in the main one Ray Train would take over Ctrl-C."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where the outcome is read
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name="ray-train").start()
    return outcome


def _watch(outcome: Future[Any], job: TrainingJob, stop: StopRequest, tracker: Tracker) -> None:
    """Show progress, end workers that hang and pass a stop request on, until the run ends or is given up."""
    passed_on = False
    with progress("Training", total=job.steps) as advance:
        shown = 0
        while True:
            ended = _wait(outcome)
            now = job.coordinator.progress()
            for message in now.messages:
                print(message, flush=True)
            if now.awaited and (now.step < job.steps or now.awaited.what != WORKERS):
                print(now.awaited, flush=True)
            if now.step > shown:
                print(f"step {now.step}/{job.steps}  {now.status}", flush=True)
                advance(now.step - shown)
                shown = now.step
            if ended:
                outcome.result()
                return
            if now.hang:
                _end_hung_workers(now.hang, job, tracker)
            if now.failure:
                stop.make()
            if stop.made_at and not passed_on:
                job.coordinator.request_stop()
                passed_on = True
            if stop.grace_is_over:
                return


def _end_hung_workers(hang: Hang, job: TrainingJob, tracker: Tracker) -> None:
    """End workers that hang and say so, with their stacks; Ray starts the group again."""
    from pipelines.training.hung_workers import describe, end_hung

    findings = end_hung(hang)
    job.coordinator.forget(hang.group)  # those that live say so again
    ended = {finding.beat for finding in findings if finding.status is not None}
    if ended.isdisjoint(hang.workers):
        return  # they were gone already, which Ray knows
    line, text = describe(hang, findings)
    print(text, flush=True)
    tracker.set_tags({"charmnet.hang": line})
    tracker.log_text(text, artifact_path=f"hangs/step-{hang.step:09d}.txt")


def _wait(outcome: Future[Any]) -> bool:
    """Return True if the outcome is there within a moment."""
    try:
        outcome.exception(timeout=_POLL_SECONDS)
    except TimeoutError:
        return False
    return True


def _reason(error: BaseException) -> str:
    """Return the innermost cause of what Ray Train reports, without its stacks."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        return _reason(next(iter(failures.values())))
    cause = getattr(error, "cause", None) or error.__cause__
    if isinstance(cause, BaseException):
        return _reason(cause)
    is_expected = isinstance(error, CharmNetError | OSError | ValueError)
    return in_words(error) if is_expected else f"{type(error).__name__}: {error}"  # else it is a defect
