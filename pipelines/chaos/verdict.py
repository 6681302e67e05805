"""What came of a run that was disturbed: how it ended, what its logs, weights and metrics say."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file

from pipelines.audit.run_audit import Report, audit
from pipelines.chaos.lab import Lab
from pipelines.chaos.runs import Run
from pipelines.runs.checkpoints import registered_checkpoints
from pipelines.runs.delivery_log import read_quarantine
from pipelines.runtime.storage import Location
from pipelines.tracking.server import connect

_BY_STEP = ("loss/", "discriminator/", "optim/")


@dataclass(frozen=True)
class Wanted:
    """What a run has to come to.

    Attributes:
        succeeds: or it fails, as it should. names: texts that its log has to hold.
        same_weights: as the undisturbed run's, to the bit. quarantines: whether samples are quarantined.
        drops: whether metrics are lost, which have to be counted.
    """

    succeeds: bool = True
    names: tuple[str, ...] = ()
    same_weights: bool = True
    quarantines: bool = False
    drops: bool = False


@dataclass(frozen=True)
class Played:
    """A scenario's run to its end.

    Attributes:
        times: how often the fault was injected.
    """

    run: Run
    times: int
    wanted: Wanted = Wanted()


@dataclass(frozen=True)
class Evidence:
    """
    Attributes:
        weights: of the last checkpoint, by name; none where there is no checkpoint.
        audit: None where the run has no checkpoint.
        points: how often each step stands in MLflow, by metric, and the run's status there.
        dropped: entries that the tracker says it dropped. quarantined: different samples.
    """

    step: int
    weights: dict[str, torch.Tensor]
    audit: Report | None
    points: dict[str, Counter[int]]
    status: str
    dropped: int
    quarantined: int


@dataclass
class Outcome:
    """A line of the table; `problems` says what was wanted and did not come about.

    Attributes:
        ended: FINISHED, or FAILED and why. rows_lost, rows_twice: by the audit; None where it has nothing.
        weights: identical, or how far the furthest is off. metrics: complete, or how many points are not.
    """

    scenario: str
    fault: str
    times: int
    ended: str
    rows_lost: int | None
    rows_twice: int | None
    weights: str
    metrics: str
    quarantined: int
    seconds: float
    seconds_lost: float | None
    problems: list[str] = field(default_factory=list)


def evidence(lab: Lab, name: str) -> Evidence:
    """What a run that has ended left in the store and in MLflow."""
    folder = lab.run_folder(name)
    names = registered_checkpoints(folder)
    step = int(names[-1].rpartition("-")[2]) if names else 0
    weights = _weights(folder / names[-1]) if names else {}
    report = audit(folder) if names else None
    quarantined = len({entry.location for entry in read_quarantine(folder)})
    return Evidence(step, weights, report, *_tracked(lab, name), quarantined)


def judge(
    lab: Lab, scenario: str, fault: str, played: Played, found: Evidence, undisturbed: tuple[Evidence, float]
) -> Outcome:
    """Compares what is found with what is wanted and with the undisturbed run (its evidence and seconds)."""
    run, wanted = played.run, played.wanted
    reference, reference_seconds = undisturbed
    steps = range(1, (lab.options.steps if wanted.succeeds else found.step) + 1)
    missing, twice = _wrong_points(found.points, reference.points.keys(), steps)
    outcome = Outcome(
        scenario=scenario,
        fault=fault,
        times=played.times,
        ended="FINISHED" if run.succeeded else "FAILED",
        rows_lost=_count(found.audit, "missing") if found.audit else None,
        rows_twice=_count(found.audit, "twice") if found.audit else None,
        weights=_difference(found.weights, reference.weights) if run.succeeded else "none",
        metrics=_metrics_said(missing, twice, found.dropped),
        quarantined=found.quarantined,
        seconds=run.seconds,
        seconds_lost=run.seconds - reference_seconds if run.succeeded else None,
    )
    outcome.problems = list(_problems(outcome, played, found, missing, twice))
    return outcome


def _problems(outcome: Outcome, played: Played, found: Evidence, missing: int, twice: int) -> list[str]:
    wanted, log = played.wanted, played.run.log()
    status = "FINISHED" if wanted.succeeds else "FAILED"
    checks = {
        f"ended {outcome.ended}: {played.run.error}": outcome.ended != status,
        f"MLflow says {found.status}": found.status != status,
        "the fault was never injected": played.times == 0,
        "the audit does not hold": found.audit is not None and not found.audit.holds,
        f"the weights differ: {outcome.weights}": wanted.succeeds
        and wanted.same_weights
        and outcome.weights != "identical",
        f"{outcome.quarantined} samples were quarantined": bool(outcome.quarantined) != wanted.quarantines,
        f"{missing} points of metrics are missing": missing > 0 and not wanted.drops,
        f"{twice} points of metrics stand twice": twice > 0,
        f"{found.dropped} entries of the tracker were dropped": bool(found.dropped) != wanted.drops,
    }
    unnamed = {f"the log does not name {text}": text not in log for text in wanted.names}
    return [problem for problem, holds in (checks | unnamed).items() if holds]


def _weights(checkpoint: Location) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "model.safetensors"
        place.write_bytes((checkpoint / place.name).read_bytes())
        return load_file(place)


def _difference(weights: dict[str, torch.Tensor], reference: dict[str, torch.Tensor]) -> str:
    """`identical`, or the largest absolute difference of any of them."""
    if weights.keys() != reference.keys():
        return "other networks"
    if all(torch.equal(tensor, reference[name]) for name, tensor in weights.items()):
        return "identical"
    furthest = max((tensor - reference[name]).abs().max().item() for name, tensor in weights.items())
    return f"differ by {furthest:.1e}"


def _tracked(lab: Lab, name: str) -> tuple[dict[str, Counter[int]], str, int]:
    """(points, status, dropped) of a run in MLflow."""
    client = connect(lab.tracking.url)
    experiment = client.get_experiment_by_name(lab.experiment)
    runs = (
        client.search_runs([experiment.experiment_id], f"tags.mlflow.runName = '{name}'")
        if experiment
        else []
    )
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
    """(missing, twice) over all metrics that a run of these steps logs."""
    found = [points.get(key, Counter()) for key in keys]
    missing = sum(step not in counts for counts in found for step in steps)
    twice = sum(max(0, count - 1) for counts in found for count in counts.values())
    return missing, twice


def _metrics_said(missing: int, twice: int, dropped: int) -> str:
    if not (missing or twice or dropped):
        return "complete"
    parts = {"missing": missing, "twice": twice, "entries counted as dropped": dropped}
    return ", ".join(f"{count} {word}" for word, count in parts.items() if count)


def _count(report: Report, name: str) -> int:
    return sum(getattr(domain, name) for domain in report.domains)
