"""Checks of a run against what is expected of it."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from pipelines.chaos.checks import Artifacts, Expected, Reference, ScenarioRun, check

STEPS = 4


SUCCESS = Expected()


WEIGHTS = {"weight": torch.ones(2)}


POINTS = {"loss/total": Counter(range(1, STEPS + 1))}


def artifacts(**fields: object) -> Artifacts:
    """Return the artifacts of an undisturbed run, with some fields changed."""
    report = SimpleNamespace(holds=True, domains=[SimpleNamespace(missing=0, twice=0)])
    undisturbed = {
        "step": STEPS,
        "weights": WEIGHTS,
        "audit": report,
        "points": POINTS,
        "status": "FINISHED",
        "dropped": 0,
        "quarantined": 0,
    }
    return Artifacts(**{**undisturbed, **fields})


def problems(
    times: int = 1, ended: str = "FINISHED", expected: Expected = SUCCESS, **fields: object
) -> list[str]:
    """Check a run that left these artifacts beside an undisturbed one."""
    run = SimpleNamespace(ended=ended, error="no store", seconds=9.0, log=lambda: "shard-1 is gone")
    scenario_run = ScenarioRun(run, times, expected)
    reference = Reference(artifacts(), 5.0)
    return check("one", "a fault", scenario_run, artifacts(**fields), reference, STEPS).problems


def test_a_run_that_comes_to_what_is_wanted_has_no_problems() -> None:
    assert problems() == []
    failure = Expected(ended="FAILED", log_texts=("shard-1",))
    assert problems(ended="FAILED", expected=failure, status="FAILED", step=0, weights={}, audit=None) == []
    assert problems(expected=Expected(same_weights=False, quarantines=True), weights={}, quarantined=2) == []
    assert problems(expected=Expected(drops=True), points={}, dropped=4) == []
    stopped = Expected(ended="STOPPED", workers=(2, 1), resumed_from=3)
    assert problems(ended="STOPPED", expected=stopped, status="KILLED", groups=((2, 0), (1, 3))) == []


@pytest.mark.parametrize(
    ("problem", "fields"),
    [
        ("ended FAILED: no store", {"ended": "FAILED"}),
        ("MLflow says RUNNING", {"status": "RUNNING"}),
        ("the fault was never injected", {"times": 0}),
        (
            "the audit does not hold",
            {"audit": SimpleNamespace(holds=False, domains=[SimpleNamespace(missing=1, twice=0)])},
        ),
        (
            "the weights differ: differ by 6.0e-08",
            {"weights": {"weight": torch.ones(2) - torch.tensor([0, 2.0**-24])}},
        ),
        ("the weights differ: other networks", {"weights": {}}),
        ("2 samples were quarantined", {"quarantined": 2}),
        ("0 samples were quarantined", {"expected": Expected(quarantines=True)}),
        ("1 points of metrics are missing", {"points": {"loss/total": Counter(range(1, STEPS))}}),
        ("1 points of metrics stand twice", {"points": {"loss/total": POINTS["loss/total"] + Counter([2])}}),
        ("3 entries of the tracker were dropped", {"dropped": 3}),
        (
            "the groups had 2, 2 workers, expected 2, 1",
            {"expected": Expected(workers=(2, 1)), "groups": ((2, 0), (2, 3))},
        ),
        (
            "went on at step 2, expected 3 or later",
            {"expected": Expected(resumed_from=3), "groups": ((2, 0), (1, 2))},
        ),
        ("the log does not name shard-7", {"expected": Expected(log_texts=("shard-7",))}),
    ],
)
def test_what_is_expected_and_does_not_come_about_is_a_problem(
    problem: str, fields: dict[str, object]
) -> None:
    assert problems(**fields)[0] == problem
