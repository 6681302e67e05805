"""Plan and figures of a soak."""

from __future__ import annotations

import pytest

from pipelines.chaos.soak import KINDS, FaultCost, SoakResult, planned_faults, seconds_of


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("60s", 60), ("1.5m", 90), ("1h", 3600)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5s", "5d", "m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds_of(text)


def test_faults_are_those_of_the_seed_and_as_many_as_the_mean_time_says() -> None:
    plan = planned_faults(0, 60.0, 60000.0)
    assert plan == planned_faults(0, 60.0, 60000.0)
    assert plan != planned_faults(1, 60.0, 60000.0)
    assert len(plan) == pytest.approx(1000, rel=0.15)
    assert {kind for _, kind in plan} == set(KINDS)
    moments = [at for at, _ in plan]
    assert moments == sorted(moments)
    assert moments[-1] < 60000


def test_goodput_is_kept_steps_over_the_undisturbed_rate() -> None:
    costs = (FaultCost("worker", 8.0), FaultCost("worker", 10.0), FaultCost("node", None))
    result = SoakResult(100.0, 400, 5.0, costs, ("the audit does not hold",))
    assert result.goodput == 0.8
    assert list(result.lines()) == [
        "goodput 0.800: 400 steps kept in 100 s, 5.00 steps/s undisturbed",
        "worker killed 2 times, 9.0 s each",
        "data task killed 0 times",
        "node killed 1 times",
        "the audit does not hold",
    ]
