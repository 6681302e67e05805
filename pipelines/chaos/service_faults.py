"""Scenarios in which the object store, MLflow or a disk is away, slow, failing or full for a while."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

from pipelines.chaos.checks import Expected, ScenarioRun, tracked_runs
from pipelines.chaos.environment import Environment
from pipelines.chaos.store_proxy import Behaviour, StoreProxy
from pipelines.chaos.submitted_run import SubmittedRun
from pipelines.tracking import send_unsent
from pipelines.tracking.server import connect

_DOWN_SECONDS = 30.0
_SLOW_SECONDS = 0.2
_SLOW_BYTES_PER_SECOND = 20_000.0
_ERROR_RATE = 0.05
_REFUSED = "Tracking is refused by the server"
_DISK_BYTES = 4096  # a file may not grow past it while the disk counts as full


def store_down(environment: Environment) -> ScenarioRun:
    """Refuse connections to the store in the middle of the run."""
    run = environment.start("store-down")
    run.wait_for_step(environment.options.steps // 2)
    environment.proxy.behave(Behaviour(down=True))
    time.sleep(_DOWN_SECONDS)
    environment.proxy.behave(Behaviour())
    run.wait_for_end()
    return ScenarioRun(run, 1)


def store_slow(environment: Environment) -> ScenarioRun:
    """Delay every request to the store."""
    before = environment.proxy.requests
    run = _run_with_store(environment, "store-slow", Behaviour(delay_seconds=_SLOW_SECONDS))
    return ScenarioRun(run, environment.proxy.requests - before)


def store_failing(environment: Environment) -> ScenarioRun:
    """Let a part of all requests to the store fail, with a status or without an answer."""
    before = environment.proxy.failed
    run = _run_with_store(environment, "store-failing", Behaviour(error_rate=_ERROR_RATE))
    return ScenarioRun(run, environment.proxy.failed - before)


def mlflow_absent(environment: Environment) -> ScenarioRun:
    """Stop MLflow from before the start to after the end, then send the spools as the next command does."""
    environment.tracking.stop(grace_seconds=1)
    run = environment.start("mlflow-absent")
    run.wait_for_end()
    environment.tracking.start()
    for node in environment.cluster.all_nodes():
        send_unsent(node.state, environment.tracking.url)
    return ScenarioRun(run, 1)


def mlflow_away(environment: Environment) -> ScenarioRun:
    """Stop MLflow in the middle of the run.

    Workers are suspended while it starts, which could take longer than their last steps.
    """
    run = environment.start("mlflow-away")
    run.wait_for_step(environment.options.steps // 4)
    environment.tracking.stop(grace_seconds=1)
    run.wait_for_step(environment.options.steps // 2)
    workers = environment.workers()
    for worker in workers:
        worker.suspend()
    environment.tracking.start()
    for worker in workers:
        worker.resume()
    run.wait_for_end()
    return ScenarioRun(run, 1)


def experiment_deleted(environment: Environment) -> ScenarioRun:
    """Delete the experiment in MLflow, which must be said at once; restore it after the run's end."""
    run = environment.start("experiment-deleted")
    run.wait_for_step(environment.options.steps // 4)
    client = connect(environment.tracking.url)
    experiment = client.get_experiment_by_name(environment.experiment)
    assert experiment is not None, "the undisturbed run was recorded in it"
    client.delete_experiment(experiment.experiment_id)
    said = run.wait(lambda: _REFUSED in run.log())
    problems = () if said else ("the log does not say before the end that the server refuses",)
    run.wait_for_end()
    client.restore_experiment(experiment.experiment_id)
    for node in environment.cluster.all_nodes():
        send_unsent(node.state, environment.tracking.url)
    return ScenarioRun(run, 1, problems=problems)


def mlflow_slow(environment: Environment) -> ScenarioRun:
    """Put MLflow behind a slow line: the run must end there without its files, which are sent afterwards."""
    line = StoreProxy(environment.tracking.url, own_host=True)
    line.start()
    line.behave(Behaviour(bytes_per_second=_SLOW_BYTES_PER_SECOND))
    run = environment.start("mlflow-slow", tracking_uri=line.url)
    run.wait_for_end()
    status, model = _end_and_model(environment, run.name)
    line.behave(Behaviour())
    for node in environment.cluster.all_nodes():
        send_unsent(node.state, line.url)
    line.stop()
    _, model_later = _end_and_model(environment, run.name)
    problems = {
        f"MLflow says {status} at the run's end": status != "FINISHED",
        "the model had arrived at the run's end: the line was no slow one": model == "READY",
        f"the model is {model_later} after the next command": model_later != "READY",
    }
    return ScenarioRun(run, 1, problems=tuple(problem for problem, holds in problems.items() if holds))


def _end_and_model(environment: Environment, name: str) -> tuple[str, str]:
    """Return the statuses of a run and of its last model in MLflow."""
    client = connect(environment.tracking.url)
    (run,) = tracked_runs(client, environment, name)
    models = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}' AND name = 'final'"
    )
    return run.info.status, str(models[0].status) if models else "missing"


def disk_full(environment: Environment) -> ScenarioRun:
    """Let no file of the training processes grow for some steps, those of the spool among them."""
    run = environment.start("disk-full")
    run.wait_for_step(environment.options.steps // 4)
    workers = environment.workers()
    _limit_files(workers, _DISK_BYTES)
    run.wait_for_step(environment.options.steps // 2)
    _limit_files(workers, psutil.RLIM_INFINITY)
    run.wait_for_end()
    return ScenarioRun(run, 1, Expected(drops=True))


def _run_with_store(environment: Environment, name: str, behaviour: Behaviour) -> SubmittedRun:
    """Run to the end with a store that behaves like this."""
    environment.proxy.behave(behaviour)
    run = environment.start(name)
    run.wait_for_end()
    environment.proxy.behave(Behaviour())
    return run


def _limit_files(processes: list[psutil.Process], most_bytes: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (most_bytes, hard))
