"""Learning-rate schedules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config.train_config import TrainConfig
from pipelines.training.schedule import LearningRateSchedule


def schedule(*assignments: str, steps: int = 200, epoch_steps: float = 10) -> LearningRateSchedule:
    return LearningRateSchedule.of(TrainConfig().override(assignments), steps, epoch_steps)


def factors(*assignments: str, steps: int = 200) -> list[float]:
    whole = schedule(*assignments, steps=steps)
    return [whole.factor(step) for step in range(steps)]


def test_linear_decay_is_the_released_policy_with_steps_for_epochs() -> None:
    released = [1.0 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)]
    assert factors("schedule=linear") == released
    assert set(factors("schedule=constant")) == {1.0}


def test_constant_then_linear_counts_steps_or_epochs() -> None:
    in_steps = factors("schedule=linear", "constant_for=120", "decay_for=50")
    assert in_steps == factors("schedule=linear", "constant_for=12 epochs", "decay_for=5 epochs")
    assert in_steps[:120] == [1.0] * 120
    assert in_steps[120] == 1 - 1 / 51
    assert in_steps[170:] == [0.0] * 30


def test_milestones_multiply() -> None:
    idih = factors("schedule=milestones", "milestones=10 epochs,150", "milestone_factor=0.1")
    assert idih[99] == 1.0
    assert idih[100] == idih[149] == pytest.approx(0.1)
    assert idih[150] == idih[199] == pytest.approx(0.01)
    with pytest.raises(ValueError, match="milestones=20,10: expected them in ascending order"):
        schedule("schedule=milestones", "milestones=20,10")


def test_cosine_warms_up_and_ends_near_zero() -> None:
    cosine = factors("schedule=cosine", "warmup=2 epochs")
    assert cosine[:20] == [(step + 1) / 21 for step in range(20)]
    assert cosine[20] == 1.0
    assert cosine[110] == pytest.approx(0.5)
    assert 0 < cosine[199] < 0.001
    assert cosine[20:] == sorted(cosine[20:], reverse=True)


@given(
    kind=st.sampled_from(["constant", "linear", "milestones", "cosine"]),
    steps=st.integers(1, 500),
    warmup=st.integers(0, 600),
    constant=st.integers(0, 600),
)
def test_factors_are_shares_of_the_rate(kind: str, steps: int, warmup: int, constant: int) -> None:
    fields = (f"schedule={kind}", f"warmup={warmup}", f"constant_for={constant}", "milestones=3,30")
    assert all(0.0 <= factor <= 1.0 for factor in factors(*fields, steps=steps))
