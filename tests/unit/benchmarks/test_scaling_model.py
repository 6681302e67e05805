"""The model behind predictions for clusters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.benchmarks.scaling_model import Costs, fitted_all_reduce, largest_group

FREE = Costs(
    step_seconds=1.0,
    pairs=4,
    gradient_bytes=0.0,
    hidden_seconds=0.0,
    link_bytes_per_second=1e9,
    latency_seconds=0.0,
    block_seconds=0.0,
    read_bytes=0.0,
    reads=0.0,
    sample_seconds=0.0,
    cpus_per_worker=1.0,
)


def test_without_common_costs_workers_add_up() -> None:
    assert FREE.pairs_per_second(1) == 4
    assert FREE.pairs_per_second(64) == 256
    assert FREE.efficiency(64) == 1


def test_a_ring_carries_twice_the_gradients_however_long() -> None:
    ring = replace(FREE, gradient_bytes=1e9)
    assert ring.all_reduce_seconds(1) == 0
    assert ring.all_reduce_seconds(2) == pytest.approx(1)
    assert ring.all_reduce_seconds(1000) == pytest.approx(2, rel=0.01)
    assert replace(ring, latency_seconds=0.5).all_reduce_seconds(3) == pytest.approx(4 / 3 + 2)


def test_what_the_backward_pass_hides_costs_nothing() -> None:
    ring = replace(FREE, gradient_bytes=1e9)
    assert ring.efficiency(2) == pytest.approx(1 / 2)
    assert replace(ring, hidden_seconds=0.5).efficiency(2) == pytest.approx(1 / 1.5)
    assert replace(ring, hidden_seconds=3).efficiency(2) == 1


@pytest.mark.parametrize(
    ("change", "bottleneck", "most"),
    [
        ({"block_seconds": 0.01}, "coordinator", 400),
        ({"read_bytes": 1e6, "store_bytes_per_second": 2e8}, "store, bytes", 200),
        ({"reads": 0.5, "store_reads_per_second": 50}, "store, requests", 100),
    ],
)
def test_what_all_share_bounds_the_group(change: dict, bottleneck: str, most: float) -> None:
    """A thousand workers come no further than the shared part allows, and a few do not notice it."""
    costs = replace(FREE, **change)
    assert costs.bottleneck(1000) == bottleneck
    assert costs.pairs_per_second(1000) == pytest.approx(most)
    assert costs.efficiency(8) == 1
    assert largest_group(costs, 0.9, range(1, 1000)) == int(most / 4 / 0.9)


def test_data_cpus_grow_with_the_workers() -> None:
    costs = replace(FREE, sample_seconds=0.5, cpus_per_worker=1)
    assert costs.bottleneck(1) == "data CPUs"
    assert costs.pairs_per_second(8) == pytest.approx(8 * 2)
    assert replace(costs, cpus_per_worker=2).pairs_per_second(8) == pytest.approx(8 * 4)


def test_a_link_is_fitted_to_two_sizes() -> None:
    link, latency = fitted_all_reduce({1e6: 0.012, 1e7: 0.102})
    assert link == pytest.approx(1e8)
    assert latency == pytest.approx(0.001)
    with pytest.raises(ValueError, match="measure again"):
        fitted_all_reduce({1e6: 0.2, 1e7: 0.1})
