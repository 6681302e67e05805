"""Scenarios in which one worker computes something wrong, hangs or lags."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, suppress
from typing import Literal

import psutil

from pipelines.chaos.checks import Expected, ScenarioRun, tracked_runs
from pipelines.chaos.environment import Environment
from pipelines.chaos.submitted_run import SubmittedRun
from pipelines.chaos.worker_faults import WorkerFault
from pipelines.runs.checkpoints import registered_checkpoints
from pipelines.runs.run_folder import checkpoint_step
from pipelines.runtime.concurrency import in_background
from pipelines.tracking.server import connect

_RUN_SECONDS, _PAUSE_SECONDS = 0.03, 0.06  # so a process gets a third of the time
_SLOW_STEPS = 50
_HELD_SECONDS = 70.0
_FOUND_SECONDS = 60.0
_HANG = "hang: rank"


def batch_nan(environment: Environment) -> ScenarioRun:
    """Put a NaN into the last worker's batch: all stop at that step, and no checkpoint is saved after it."""
    step = environment.options.steps // 2 + 1
    last = environment.options.workers - 1
    fault = WorkerFault("nan", last, step, environment.marker("batch-nan"))
    run = environment.start("batch-nan", fault=fault)
    run.wait_for_end()
    saved = registered_checkpoints(environment.run_folder(run.name))
    late = [name for name in saved if checkpoint_step(name) >= step]
    expected = Expected(
        ended="FAILED", log_texts=(f"not finite at step {step}, samples",), workers=(last + 1,)
    )
    problems = (f"{late[0]} was saved though step {step} had a NaN",) if late else ()
    return ScenarioRun(run, fault.times, expected, problems)


def bit_flipped(environment: Environment) -> ScenarioRun:
    """Flip a bit in the last worker's weights: all stop before the next checkpoint, and start again."""
    workers = environment.options.workers
    step = environment.options.steps // 2 + 1
    fault = WorkerFault("flip", workers - 1, step, environment.marker("bit-flipped"))
    run = environment.start("bit-flipped", fault=fault)
    run.wait_for_end()
    if workers == 1:  # there is nobody to compare with
        return ScenarioRun(run, fault.times, Expected(same_weights=False))
    texts = ("the workers' weights are no longer the same at step",)
    return ScenarioRun(run, fault.times, Expected(log_texts=texts, workers=(workers, workers)))


def worker_slow(environment: Environment) -> ScenarioRun:
    """Slow one worker down to a third, then another: each has to be named within 50 steps."""
    workers = environment.options.workers
    steps = 2 * _SLOW_STEPS + 20 + environment.options.steps
    run = environment.start("worker-slow", f"steps={steps}")
    times, problems = 0, []
    run.wait_for_step(10)
    for process in environment.workers()[:2] if workers > 1 else []:
        said, began = len(run.log()), run.step
        with _slowed(process):
            named = run.wait(lambda said=said: "is slow and the others wait for it" in run.log()[said:])  # type: ignore[misc]
        times += 1
        if not named or run.step - began > _SLOW_STEPS + 2:  # the log follows the run by half a second
            problems.append(f"the slow worker was named after {run.step - began} steps: {named}")
    run.wait_for_end()
    return ScenarioRun(run, max(times, 1), Expected(same_weights=False, workers=(workers,)), tuple(problems))


def _slowed(process: psutil.Process) -> AbstractContextManager[None]:
    """Inside, suspend a process for two thirds of the time."""

    def alternate(ended: threading.Event) -> None:
        with suppress(psutil.NoSuchProcess):
            while not ended.wait(_RUN_SECONDS):
                process.suspend()
                ended.wait(_PAUSE_SECONDS)
                process.resume()

    return in_background(alternate, "slow-down")


def worker_stopped(environment: Environment) -> ScenarioRun:
    """Stop a worker by SIGSTOP: it has to be found within a minute, and the group to start again."""
    run = environment.start("worker-stopped")
    run.wait_for_step(environment.options.steps // 2)
    worker = environment.workers()[-1]
    began = time.monotonic()
    worker.suspend()
    run.wait(lambda: _HANG in run.log())
    seconds = time.monotonic() - began
    run.wait_for_end()
    return _hang_found(environment, run, 1, seconds, "is stopped by a signal")


def worker_stuck(environment: Environment) -> ScenarioRun:
    """Let one worker never end an update, so that the others wait for its gradients."""
    return _hang_within(environment, "worker-stuck", "stuck", "did not end an update")


def interpreter_held(environment: Environment) -> ScenarioRun:
    """Let one worker hold Python's interpreter for 70 s, so that none of its threads can run."""
    return _hang_within(environment, "interpreter-held", "gil", "gave no sign of life")


def checkpoint_slow(environment: Environment) -> ScenarioRun:
    """Let one worker pause for 70 s between updates, as a long validation would: that is no hang."""
    workers, every = environment.options.workers, environment.config.checkpoint_every
    marker = environment.marker("checkpoint-slow")
    fault = WorkerFault("pause", workers - 1, 2 * every, marker, _HELD_SECONDS)
    run = environment.start("checkpoint-slow", fault=fault)
    run.wait_for_end()
    problems = ("it was taken for a hang",) if _HANG in run.log() else ()
    return ScenarioRun(run, fault.times, Expected(workers=(workers,)), problems)


def _hang_within(
    environment: Environment, name: str, kind: Literal["stuck", "gil"], text: str
) -> ScenarioRun:
    step = environment.options.steps // 2 + 1
    marker = environment.marker(name)
    fault = WorkerFault(kind, environment.options.workers - 1, step, marker, _HELD_SECONDS)
    run = environment.start(name, fault=fault)
    run.wait(lambda: fault.times)
    began = time.monotonic()
    run.wait(lambda: _HANG in run.log())
    seconds = time.monotonic() - began
    run.wait_for_end()
    return _hang_found(environment, run, fault.times, seconds, text)


def _hang_found(
    environment: Environment, run: SubmittedRun, times: int, seconds: float, text: str
) -> ScenarioRun:
    """Return the run with what is expected of a hang: named in the log and in MLflow, within a minute."""
    workers = environment.options.workers
    problems = [f"the hang was found after {seconds:.0f} s"] if seconds > _FOUND_SECONDS else []
    client = connect(environment.tracking.url)
    found = tracked_runs(client, environment, run.name)
    tag = found[0].data.tags.get("charmnet.hang", "") if found else ""
    if text not in tag:
        problems.append(f"MLflow's tag charmnet.hang does not say what hung: {tag!r}")
    if not (found and client.list_artifacts(found[0].info.run_id, "hangs")):
        problems.append("MLflow has no stacks of the hang")
    texts = (_HANG, f"rank {workers - 1}", text, "in train_worker")
    return ScenarioRun(run, times, Expected(log_texts=texts, workers=(workers, workers)), tuple(problems))
