"""Division of global batches into lanes, and of lanes into blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingest.execution import steps_per_block
from pipelines.ingest.lanes import lane_rows


@given(st.integers(2, 64), st.integers(1, 40))
def test_lanes_give_every_worker_at_least_two_pairs_in_every_step(batch_size: int, workers: int) -> None:
    try:
        rows = lane_rows(batch_size, workers)
    except ValueError:
        assert batch_size < 2 * workers or any(batch_size % d == 0 for d in range(2, batch_size))
        return
    assert batch_size % rows == 0
    lanes = batch_size // rows
    owners = [block % workers for block in range(10 * lanes)]
    for step in range(10):
        owned = owners[step * lanes : (step + 1) * lanes]
        assert all(owned.count(rank) * rows >= 2 for rank in range(workers))
    if batch_size % workers == 0:
        assert lanes == workers


def test_too_many_workers_are_refused_with_numbers_that_would_work() -> None:
    with pytest.raises(ValueError, match=r"batch_size=8 over 5 workers.*at most 4 workers or batch_size=10"):
        lane_rows(8, 5)


def test_large_batches_travel_step_by_step() -> None:
    assert [steps_per_block(size) for size in (1, 8, 16, 65, 512)] == [64, 8, 4, 1, 1]
