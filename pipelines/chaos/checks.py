"""Checks of a disturbed run against what is expected of it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pipelines.audit.run_audit import Report, audit
from pipelines.chaos.environment import Environment
from pipelines.chaos.report import Outcome
from pipelines.chaos.submitted_run import SubmittedRun
from pipelines.runs.attempts import read_attempts
from pipelines.runs.checkpoints import registered_checkpoints
from pipelines.runs.delivery_log import read_quarantine
from pipelines.runs.run_folder import checkpoint_step
from pipelines.runtime.storage import Location
from pipelines.tracking.server import connect

_BY_STEP = ("loss/", "discriminator/", "optim/")
_TRACKED_STATUS = {"FINISHED": "FINISHED", "FAILED": "FAILED", "STOPPED": "KILLED"}


@dataclass(frozen=True)
class Expected:
    """How a disturbed run has to end.

    Attributes:
        ended: FINISHED, FAILED, or STOPPED where the scenario asks it to stop.
        log_texts: texts that its log has to contain.
        same_weights: whether its weights have to be the undisturbed run's, to the bit.
        quarantines: whether samples have to be quarantined.
        drops: whether metrics have to be lost, and counted as such.
        workers: sizes of its worker groups, in order; None where any are right.
        resumed_from: step that the last group but one saved on notice; the next one has to begin there or
            later.
    """

    ended: str = "FINISHED"
    log_texts: tuple[str, ...] = ()
    same_weights: bool = True
    quarantines: bool = False
    drops: bool = False
    workers: tuple[int, ...] | None = None
    resumed_from: int = 0


@dataclass(frozen=True)
class ScenarioRun:
    """Run of a scenario that has ended.

    Attributes:
        run: the run.
        times: how often the fault was injected.
        expected: how it has to end.
        problems: what the scenario itself saw that is not as it should be.
    """

    run: SubmittedRun
    times: int
    expected: Expected = Expected()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Artifacts:
    """Everything that a run left in the store and in MLflow.

    Attributes:
        step: step of the last checkpoint; 0 where there is none.
        weights: tensors of the last checkpoint by name; empty where there is none.
        audit: report of the audit; None where the run has no checkpoint.
        points: how often each step stands in MLflow, by metric.
        status: the run's status in MLflow.
        dropped: number of entries that the tracker counted as dropped.
        quarantined: number of different quarantined samples.
        groups: (workers, first step) of every start of the worker group.
    """

    step: int
    weights: dict[str, torch.Tensor]
    audit: Report | None
    points: dict[str, Counter[int]]
    status: str
    dropped: int
    quarantined: int
    groups: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Reference:
    """The undisturbed run, with which the others are compared.

    Attributes:
        artifacts: what it left.
        seconds: how long it took.
    """

    artifacts: Artifacts
    seconds: float


def collect_artifacts(environment: Environment, name: str) -> Artifacts:
    """Read what a run that has ended left in the store and in MLflow."""
    folder = environment.run_folder(name)
    checkpoints = registered_checkpoints(folder)
    points, status, dropped = _tracked(environment, name)
    attempts = read_attempts(folder)
    return Artifacts(
        step=checkpoint_step(checkpoints[-1]) if checkpoints else 0,
        weights=_weights(folder / checkpoints[-1]) if checkpoints else {},
        audit=audit(folder) if checkpoints else None,
        points=points,
        status=status,
        dropped=dropped,
        quarantined=len({entry.location for entry in read_quarantine(folder)}),
        groups=tuple((attempts[number].workers, attempts[number].start_step) for number in sorted(attempts)),
    )


def check(
    scenario: str,
    fault: str,
    scenario_run: ScenarioRun,
    artifacts: Artifacts,
    reference: Reference,
    steps: int,
) -> Outcome:
    """Compare a run with what is expected of it and with the undisturbed run.

    Args:
        scenario: name of the scenario.
        fault: the fault in words.
        scenario_run: the run and what is expected.
        artifacts: what the run left.
        reference: the undisturbed run.
        steps: number of steps of a run that finishes.
    """
    run = scenario_run.run
    finished = run.ended == "FINISHED"
    last_step = steps if scenario_run.expected.ended == "FINISHED" else artifacts.step
    missing, twice = _wrong_points(
        artifacts.points, reference.artifacts.points.keys(), range(1, last_step + 1)
    )
    outcome = Outcome(
        scenario=scenario,
        fault=fault,
        times=scenario_run.times,
        ended=run.ended,
        rows_lost=_count(artifacts.audit, "missing"),
        rows_twice=_count(artifacts.audit, "twice"),
        weights=_difference(artifacts.weights, reference.artifacts.weights) if finished else "none",
        metrics=_describe_metrics(missing, twice, artifacts.dropped),
        quarantined=artifacts.quarantined,
        seconds=run.seconds,
        seconds_lost=run.seconds - reference.seconds if finished else None,
    )
    outcome.problems = list(_problems(outcome, scenario_run, artifacts, missing, twice))
    return outcome


def _problems(
    outcome: Outcome, scenario_run: ScenarioRun, artifacts: Artifacts, missing: int, twice: int
) -> list[str]:
    expected, run = scenario_run.expected, scenario_run.run
    workers = tuple(size for size, _ in artifacts.groups)
    resumed_at = artifacts.groups[-1][1] if artifacts.groups else 0
    log = run.log()
    checks = {
        f"ended {outcome.ended}: {run.error}": outcome.ended != expected.ended,
        f"MLflow says {artifacts.status}": artifacts.status != _TRACKED_STATUS[expected.ended],
        "the fault was never injected": scenario_run.times == 0,
        "the audit does not hold": artifacts.audit is not None and not artifacts.audit.holds,
        f"the weights differ: {outcome.weights}": expected.ended == "FINISHED"
        and expected.same_weights
        and outcome.weights != "identical",
        f"{outcome.quarantined} samples were quarantined": bool(outcome.quarantined) != expected.quarantines,
        f"{missing} points of metrics are missing": missing > 0 and not expected.drops,
        f"{twice} points of metrics stand twice": twice > 0,
        f"{artifacts.dropped} entries of the tracker were dropped": bool(artifacts.dropped) != expected.drops,
        f"the groups had {_list(workers)} workers, expected {_list(expected.workers or ())}": expected.workers
        not in (None, workers),
        f"went on at step {resumed_at}, expected {expected.resumed_from} or later": resumed_at
        < expected.resumed_from,
    }
    unnamed = {f"the log does not name {text}": text not in log for text in expected.log_texts}
    found = [problem for problem, holds in (checks | unnamed).items() if holds]
    return [*scenario_run.problems, *found]


def _weights(checkpoint: Location) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.safetensors"
        path.write_bytes((checkpoint / path.name).read_bytes())
        return load_file(path)


def _difference(weights: dict[str, torch.Tensor], reference: dict[str, torch.Tensor]) -> str:
    """Return "identical", or the largest absolute difference of any weight."""
    if weights.keys() != reference.keys():
        return "other networks"
    if all(torch.equal(tensor, reference[name]) for name, tensor in weights.items()):
        return "identical"
    furthest = max((tensor - reference[name]).abs().max().item() for name, tensor in weights.items())
    return f"differ by {furthest:.1e}"


def tracked_runs(client: Any, environment: Environment, name: str) -> list[Any]:
    """Return MLflow's runs of a name; none where there is no experiment."""
    experiment = client.get_experiment_by_name(environment.experiment)
    if experiment is None:
        return []
    return list(client.search_runs([experiment.experiment_id], f"tags.mlflow.runName = '{name}'"))


def _tracked(environment: Environment, name: str) -> tuple[dict[str, Counter[int]], str, int]:
    """Return points, status and number of dropped entries of a run in MLflow."""
    client = connect(environment.tracking.url)
    runs = tracked_runs(client, environment, name)
    if len(runs) != 1:
        return {}, f"{len(runs)} runs", 0
    run = runs[0]
    points = {
        key: Counter(point.step for point in client.get_metric_history(run.info.run_id, key))
        for key in run.data.metrics
        if key.startswith(_BY_STEP)
    }
    dropped = sum(value for key, value in run.data.metrics.items() if key.endswith("/dropped"))
    return points, run.info.status, int(dropped)


def _wrong_points(points: Mapping[str, Counter[int]], keys: Iterable[str], steps: range) -> tuple[int, int]:
    """Count points that are missing and points that stand twice, over all metrics and steps."""
    counts = [points.get(key, Counter()) for key in keys]
    missing = sum(step not in count for count in counts for step in steps)
    twice = sum(max(0, number - 1) for count in counts for number in count.values())
    return missing, twice


def _describe_metrics(missing: int, twice: int, dropped: int) -> str:
    if not (missing or twice or dropped):
        return "complete"
    parts = {"missing": missing, "twice": twice, "entries counted as dropped": dropped}
    return ", ".join(f"{count} {word}" for word, count in parts.items() if count)


def _count(report: Report | None, name: str) -> int | None:
    return None if report is None else sum(getattr(domain, name) for domain in report.domains)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers)) or "no"
