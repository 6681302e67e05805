"""Naming the worker that the others wait for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.stragglers import RankTimings, StragglerWatch


def window(works: tuple[float, ...], steps: int = 5, step: float = 0.4) -> RankTimings:
    return RankTimings(steps, step, works, tuple(0.01 for _ in works))


def messages(watch: StragglerWatch, works: tuple[float, ...], windows: int) -> list[tuple[int, str]]:
    found = [(number, watch.add(window(works))) for number in range(1, windows + 1)]
    return [(5 * number, message) for number, message in found if message]


def test_a_rank_three_times_slower_and_then_another_are_named_within_fifty_steps() -> None:
    watch = StragglerWatch()
    assert messages(watch, (0.1, 0.11, 0.1), 8) == []
    ((step, first),) = messages(watch, (0.1, 0.3, 0.1), 8)
    assert step <= 50
    assert first.startswith("rank 1 is slow and the others wait for it: 0.300 s")
    assert "the others 0.100 s" in first
    ((step, second),) = messages(watch, (0.3, 0.1, 0.1), 8)
    assert step <= 50
    assert second.startswith("rank 0 is slow")
    ((_, last),) = messages(watch, (0.1, 0.1, 0.1), 8)
    assert last == "rank 0 is no longer slower than the others"


def test_one_worker_and_waits_that_cost_nothing_are_named_by_nobody() -> None:
    assert messages(StragglerWatch(), (0.3,), 20) == []
    assert messages(StragglerWatch(), (0.001, 0.01), 20) == []


@given(st.lists(st.floats(0.05, 0.09), min_size=2, max_size=8))
def test_ranks_within_a_factor_of_two_are_not_named(works: list[float]) -> None:
    assert messages(StragglerWatch(), tuple(works), 8) == []


def test_metrics_have_the_maximum_its_rank_and_each_rank() -> None:
    values = RankTimings(5, 0.4, (0.1, 0.3), (0.02, 0.01)).metrics()
    assert values["workers/work_seconds_max"] == 0.3
    assert values["workers/work_seconds_max_rank"] == 1.0
    assert values["workers/data_wait_seconds_max_rank"] == 0.0
    assert values["workers/work_seconds/1"] == 0.3
    many = RankTimings(5, 0.4, (0.1,) * 64, (0.0,) * 64).metrics()
    assert len(many) == 4
