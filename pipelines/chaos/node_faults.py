"""Scenarios in which nodes are lost, given notice or added."""

from __future__ import annotations

import random
import time

from pipelines.chaos.checks import Expected, ScenarioRun
from pipelines.chaos.environment import Environment
from pipelines.chaos.submitted_run import SubmittedRun
from pipelines.runs.attempts import read_attempts
from pipelines.runs.checkpoints import registered_checkpoints
from pipelines.runs.run_folder import checkpoint_step
from pipelines.runtime.retry import wait_until

_AWAY_SECONDS = 10.0
_NOTICE_SECONDS = 60.0
_CHECKPOINT_EVERY = 51  # a checkpoint that is saved on notice is of another step
_SIZES = (1, 3, 2, 1, 3)
_ELASTIC = ("workers=1:3", "batch_size=6", "steps=1000000", f"checkpoint_every={_CHECKPOINT_EVERY}")


def node_lost(environment: Environment) -> ScenarioRun:
    """Lose the node that trains, while another has room for its workers."""
    environment.cluster.add_node()
    run = environment.start("node-lost")
    run.wait_for_step(environment.options.steps // 2)
    _lose_training_node(environment)
    run.wait_for_end()
    return ScenarioRun(run, 1)


def node_returns(environment: Environment) -> ScenarioRun:
    """Lose the only node that trains; it comes back empty after a while."""
    run = environment.start("node-returns")
    run.wait_for_step(environment.options.steps // 2)
    _lose_training_node(environment)
    time.sleep(_AWAY_SECONDS)
    environment.cluster.add_node()
    run.wait_for_end()
    return ScenarioRun(run, 1)


def node_drained(environment: Environment) -> ScenarioRun:
    """Give one of two nodes notice, then lose it: an elastic run saves at once and goes on with a worker."""
    environment.cluster.replace_nodes(2, cpus=1)
    run = environment.start("node-drained", *_ELASTIC)
    run.wait(lambda: _groups(environment, run) == (2,) and _saved_steps(environment, run))
    node = environment.cluster.nodes[-1]
    environment.cluster.drain(node, _NOTICE_SECONDS)
    drained = run.wait(lambda: _saved_on_notice(environment, run))
    saved = max(_saved_on_notice(environment, run), default=0)
    environment.cluster.lose(node)
    run.wait(lambda: _groups(environment, run) == (2, 1) and _has_saved_since_start(environment, run))
    run.stop()
    environment.cluster.replace_nodes()
    return ScenarioRun(run, int(drained), Expected(ended="STOPPED", workers=(2, 1), resumed_from=saved))


def node_added(environment: Environment) -> ScenarioRun:
    """Add a node to the only one: an elastic run goes on with two workers."""
    environment.cluster.replace_nodes(1, cpus=1)
    run = environment.start("node-added", *_ELASTIC)
    run.wait(lambda: _groups(environment, run) == (1,) and _saved_steps(environment, run))
    environment.cluster.add_node(cpus=1)
    run.wait(lambda: _groups(environment, run) == (1, 2) and _has_saved_since_start(environment, run))
    run.stop()
    environment.cluster.replace_nodes()
    return ScenarioRun(run, 1, Expected(ended="STOPPED", workers=(1, 2)))


def sizes_change(environment: Environment) -> ScenarioRun:
    """Let an elastic run have 1, 3, 2, 1 and 3 workers, by nodes that come and are lost without notice."""
    cluster = environment.cluster
    cluster.replace_nodes(1, cpus=1)
    run = environment.start("sizes-change", *_ELASTIC)
    rng = random.Random(environment.options.seed)  # noqa: S311 - nodes that can be chosen again
    for size in _SIZES:
        while len(cluster.nodes) < size:
            cluster.add_node(cpus=1)
        while len(cluster.nodes) > size:
            cluster.lose(rng.choice(cluster.nodes))
        run.wait(lambda size=size: _groups(environment, run)[-1:] == (size,) and _has_saved(environment, run))  # type: ignore[misc]
    run.stop()
    groups = iter(_groups(environment, run))
    missing = [size for size in _SIZES if size not in groups]  # in this order, others in between
    cluster.replace_nodes()
    problems = (f"the group never had {missing[0]} workers in its turn",) if missing else ()
    return ScenarioRun(run, len(_SIZES) - 1, Expected(ended="STOPPED"), problems)


def _has_saved(environment: Environment, run: SubmittedRun) -> bool:
    return bool(_saved_steps(environment, run)) and _has_saved_since_start(environment, run)


def _lose_training_node(environment: Environment) -> None:
    workers = wait_until(environment.workers, 60, "no worker trains")
    environment.cluster.lose(environment.cluster.node_of(workers[0]))


def _groups(environment: Environment, run: SubmittedRun) -> tuple[int, ...]:
    """Return the sizes of the worker groups so far."""
    attempts = read_attempts(environment.run_folder(run.name))
    return tuple(attempts[number].workers for number in sorted(attempts))


def _saved_steps(environment: Environment, run: SubmittedRun) -> list[int]:
    """Return the steps of all checkpoints that are kept."""
    names = registered_checkpoints(environment.run_folder(run.name))
    return [checkpoint_step(name) for name in names]


def _saved_on_notice(environment: Environment, run: SubmittedRun) -> list[int]:
    return [step for step in _saved_steps(environment, run) if step % _CHECKPOINT_EVERY]


def _has_saved_since_start(environment: Environment, run: SubmittedRun) -> bool:
    """Return whether the last worker group has saved a checkpoint."""
    attempts = read_attempts(environment.run_folder(run.name))
    return max(_saved_steps(environment, run), default=0) > attempts[max(attempts)].start_step
