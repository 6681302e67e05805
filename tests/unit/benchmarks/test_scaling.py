"""The floor of the coordinators' figures, and the plan of lanes that was weighed."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.benchmarks.lane_plan import fetched, laned_epoch, manifest, mixing, pooled_epoch, rounds
from pipelines.benchmarks.scaling import FloorError, check_floor

FIGURES = [
    {"ranks": 8, "pairs_per_second": 1800.0, "cpu_seconds_per_block": 0.0044},
    {"ranks": 64, "pairs_per_second": 1569.0, "cpu_seconds_per_block": 0.0051},
]


def test_a_coordinator_below_the_floor_fails_the_command() -> None:
    with pytest.raises(
        FloorError, match=r"allows 1,569 pairs/s at 64 ranks \(5.10 CPU ms a block\), below --fl"
    ):
        check_floor(FIGURES, 20_000)
    check_floor(FIGURES, 1_500)
    check_floor(FIGURES, None)
    check_floor(FIGURES[:1], 20_000)  # few ranks need less


def test_lanes_deal_every_sample_of_a_round_once_and_mix_better_than_pools() -> None:
    data = manifest()
    dealt = list(rounds(data, 64, 16, 100))
    epoch = laned_epoch(dealt, 64)
    counts = np.bincount(epoch, minlength=len(data.table.rows))
    whole = counts == data.table.rows
    assert (counts <= data.table.rows).all()
    assert (~whole).sum() - (counts == 0).sum() <= 1  # the row group in which the last round ends
    assert mixing(data, epoch, 64)[1] < 2 < 10 < mixing(data, pooled_epoch(data, 4), 64)[1]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_row_group_is_fetched_again_at_the_edges_of_workers_and_rounds(workers: int) -> None:
    dealt = list(rounds(manifest(), 64, 16, 100))
    assert 1 <= fetched(dealt, workers) <= 1.01 + 64 * workers / (64 * 100)
