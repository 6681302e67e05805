"""An object store, a tracking server or a disk that is away, slow, failing or full for a while."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

from pipelines.chaos.lab import Lab
from pipelines.chaos.runs import Run
from pipelines.chaos.store_proxy import Behaviour
from pipelines.chaos.verdict import Played, Wanted
from pipelines.tracking import send_unsent

_DOWN_SECONDS = 30.0
_SLOW_SECONDS = 0.2
_ERROR_RATE = 0.05
_DISK_BYTES = 4096  # a file may not grow past it while the disk counts as full


def store_down(lab: Lab) -> Played:
    """Connections are refused in the middle of the run."""
    run = lab.start("store-down")
    run.wait_for_step(lab.options.steps // 2)
    lab.proxy.behave(Behaviour(down=True))
    time.sleep(_DOWN_SECONDS)
    lab.proxy.behave(Behaviour())
    run.wait_for_end()
    return Played(run, 1)


def store_slow(lab: Lab) -> Played:
    """Every request of the run waits."""
    before = lab.proxy.requests
    run = _run_with_store(lab, "store-slow", Behaviour(delay_seconds=_SLOW_SECONDS))
    return Played(run, lab.proxy.requests - before)


def store_failing(lab: Lab) -> Played:
    """A share of all requests fails, with a status or without an answer."""
    before = lab.proxy.failed
    run = _run_with_store(lab, "store-failing", Behaviour(error_rate=_ERROR_RATE))
    return Played(run, lab.proxy.failed - before)


def mlflow_absent(lab: Lab) -> Played:
    """From before the start to after the end; what was spooled is sent as the next command sends it."""
    lab.tracking.stop(grace_seconds=1)
    run = lab.start("mlflow-absent")
    run.wait_for_end()
    lab.tracking.start()
    for node in lab.cluster.all_nodes():
        send_unsent(node.state, lab.tracking.url)
    return Played(run, 1)


def mlflow_away(lab: Lab) -> Played:
    """In the middle of the run; workers stand still while it starts, which could outlast their steps."""
    run = lab.start("mlflow-away")
    run.wait_for_step(lab.options.steps // 4)
    lab.tracking.stop(grace_seconds=1)
    run.wait_for_step(lab.options.steps // 2)
    workers = lab.workers()
    for worker in workers:
        worker.suspend()
    lab.tracking.start()
    for worker in workers:
        worker.resume()
    run.wait_for_end()
    return Played(run, 1)


def disk_full(lab: Lab) -> Played:
    """No file of the training processes may grow for some steps, those of the spool among them."""
    run = lab.start("disk-full")
    run.wait_for_step(lab.options.steps // 4)
    workers = lab.workers()
    _limit_files(workers, _DISK_BYTES)
    run.wait_for_step(lab.options.steps // 2)
    _limit_files(workers, psutil.RLIM_INFINITY)
    run.wait_for_end()
    return Played(run, 1, Wanted(drops=True))


def _run_with_store(lab: Lab, name: str, behaviour: Behaviour) -> Run:
    """A run that finds the store like this from its start to its end."""
    lab.proxy.behave(behaviour)
    run = lab.start(name)
    run.wait_for_end()
    lab.proxy.behave(Behaviour())
    return run


def _limit_files(processes: list[psutil.Process], most_bytes: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (most_bytes, hard))
