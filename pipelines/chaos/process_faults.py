"""Scenarios in which processes are killed."""

from __future__ import annotations

import random
import time

import psutil

from pipelines.chaos.checks import ScenarioRun
from pipelines.chaos.environment import DRIVER, Environment
from pipelines.chaos.nodes import kill
from pipelines.chaos.submitted_run import SubmittedRun

_SOON_SECONDS = 10.0
_WITHIN_SECONDS = 0.3  # of a step's end: where steps are quick, a run of few is soon over
_TASK_KILLS = 3
TASK_TITLE = "(read_"
"""Part of the title of a data task's process: Ray Data names it after its function."""


def worker_killed(environment: Environment) -> ScenarioRun:
    """Kill workers at random moments: soon after their group was started, or some steps later."""
    options = environment.options
    run = environment.start("worker-killed")
    rng = random.Random(options.seed)  # noqa: S311 - moments that can be repeated
    times = 0
    gone: set[int] = set()
    for number in range(options.times):
        group = _new_group(environment, run, gone)
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0, _SOON_SECONDS))
        else:
            run.wait_for_step(options.steps * (number + 1) // (options.times + 1))
            time.sleep(rng.uniform(0, _WITHIN_SECONDS))
        if group:
            times += kill(rng.choice(group))
        gone |= {process.pid for process in group}
    run.wait_for_end()
    return ScenarioRun(run, times)


def driver_killed(environment: Environment) -> ScenarioRun:
    """Kill the driver, so that the job fails, and submit the same command again."""
    run = environment.start("driver-killed")
    run.wait_for_step(environment.options.steps // 2)
    killed = [kill(process) for process in environment.cluster.processes(DRIVER)]  # a shell and Python
    run.wait_for_end()
    run.submit()
    run.wait_for_end()
    return ScenarioRun(run, int(any(killed)))


def two_drivers(environment: Environment) -> ScenarioRun:
    """Submit the command of a run that is under way, which must be refused; kill the first; submit again."""
    run = environment.start("two-drivers")
    run.wait_for_step(environment.options.steps // 4)
    rival = run.rival()
    rival.submit()
    rival.wait_for_end()
    holders = [process.pid for process in environment.cluster.processes(DRIVER)]
    refused = any(f"is held by process {pid} on " in rival.error for pid in holders)
    for process in environment.cluster.processes(DRIVER):
        kill(process)
    run.wait_for_end()
    run.submit()
    run.wait_for_end()
    problem = f"the second driver was not refused with the first one's process: {rival.ended} {rival.error}"
    return ScenarioRun(run, 1, problems=() if refused else (problem,))


def data_task_killed(environment: Environment) -> ScenarioRun:
    """Kill data tasks, which Ray starts again."""
    run = environment.start("data-task-killed")
    rng = random.Random(environment.options.seed)  # noqa: S311 - tasks that can be chosen again
    times = 0
    for _ in range(_TASK_KILLS):
        tasks: list[psutil.Process] = []

        def at_work(tasks: list[psutil.Process] = tasks) -> bool:
            tasks[:] = environment.cluster.processes(TASK_TITLE)
            return bool(tasks)

        if not run.wait(at_work):
            break
        times += kill(rng.choice(tasks))
        time.sleep(rng.uniform(0, 2))
    run.wait_for_end()
    return ScenarioRun(run, times)


def _new_group(environment: Environment, run: SubmittedRun, gone: set[int]) -> list[psutil.Process]:
    """Wait for a group of workers other than those that are gone; return none where the run ends first."""
    group: list[psutil.Process] = []

    def is_complete() -> bool:
        group[:] = [process for process in environment.workers() if process.pid not in gone]
        return len(group) == environment.options.workers

    return group if run.wait(is_complete) else []
