"""Processes and nodes that end without a word."""

from __future__ import annotations

import random
import time

import psutil

from pipelines.chaos.lab import DRIVER, Lab
from pipelines.chaos.nodes import kill
from pipelines.chaos.runs import Run
from pipelines.chaos.verdict import Played
from pipelines.runtime.retry import wait_until

_SOON_SECONDS = 10.0
_WITHIN_SECONDS = 0.3  # of a step's end: where steps are quick, a run of few is soon over
_AWAY_SECONDS = 10.0
_TASK_KILLS = 3
_TASK_TITLE = "(read_"  # Ray Data names a task's process after its function


def worker_killed(lab: Lab) -> Played:
    """At random moments: soon after a group of workers was started, or some steps later."""
    run, rng = lab.start("worker-killed"), random.Random(lab.options.seed)
    times, gone = 0, set[int]()
    for number in range(lab.options.times):
        group = _group(lab, run, gone)
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0, _SOON_SECONDS))
        else:
            run.wait_for_step(lab.options.steps * (number + 1) // (lab.options.times + 1))
            time.sleep(rng.uniform(0, _WITHIN_SECONDS))
        if group:
            times += kill(rng.choice(group))
        gone |= {process.pid for process in group}
    run.wait_for_end()
    return Played(run, times)


def driver_killed(lab: Lab) -> Played:
    """The job fails, and the same command is submitted again."""
    run = lab.start("driver-killed")
    run.wait_for_step(lab.options.steps // 2)
    killed = [kill(process) for process in lab.cluster.processes(DRIVER)]  # a shell and Python
    run.wait_for_end()
    run.submit()
    run.wait_for_end()
    return Played(run, int(any(killed)))


def data_task_killed(lab: Lab) -> Played:
    """Ray starts the task again."""
    run, times = lab.start("data-task-killed"), 0
    rng = random.Random(lab.options.seed)
    for _ in range(_TASK_KILLS):
        tasks: list[psutil.Process] = []

        def at_work(found: list[psutil.Process] = tasks) -> bool:
            found[:] = lab.cluster.processes(_TASK_TITLE)
            return bool(found)

        if not run.wait(at_work):
            break
        times += kill(rng.choice(tasks))
        time.sleep(rng.uniform(0, 2))
    run.wait_for_end()
    return Played(run, times)


def node_lost(lab: Lab) -> Played:
    """The node that trains is gone for good, and another has room for the workers."""
    lab.cluster.add_node()
    run = lab.start("node-lost")
    run.wait_for_step(lab.options.steps // 2)
    _lose_training_node(lab)
    run.wait_for_end()
    return Played(run, 1)


def node_returns(lab: Lab) -> Played:
    """The only node that trains is gone, and comes back empty after a while."""
    run = lab.start("node-returns")
    run.wait_for_step(lab.options.steps // 2)
    _lose_training_node(lab)
    time.sleep(_AWAY_SECONDS)
    lab.cluster.add_node()
    run.wait_for_end()
    return Played(run, 1)


def _group(lab: Lab, run: Run, gone: set[int]) -> list[psutil.Process]:
    """The workers of a group that was started after those that are gone; none where the run ends first."""
    group: list[psutil.Process] = []

    def stands() -> bool:
        group[:] = [process for process in lab.workers() if process.pid not in gone]
        return len(group) == lab.options.workers

    return group if run.wait(stands) else []


def _lose_training_node(lab: Lab) -> None:
    workers = wait_until(lab.workers, 60, "no worker trains")
    lab.cluster.lose(lab.cluster.node_of(workers[0]))
