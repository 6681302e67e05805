"""Predictions for clusters, made from figures of two workers."""

from __future__ import annotations

import pytest

from pipelines.benchmarks.predictions import CLUSTERS, COUNTS, Cluster, costs_of, predictions

FIGURES = {
    "all_reduce": {"link_bytes_per_second": 1e9, "latency_seconds": 0.0},
    "coordinators": [{"cpu_seconds_per_block": 0.001}, {"cpu_seconds_per_block": 0.002}],
}
WORKERS = {
    "arguments": {"batch": 4},
    "gradient_bytes": 6e7,
    "turns": {
        "one": {"seconds": [1.0, 1.0, 1.2]},
        "apart": {"seconds": [1.1]},
        "together": {"seconds": [1.12]},
    },
}


def test_what_two_workers_did_not_wait_for_is_hidden() -> None:
    """60 MB take 0.06 s; 0.02 s of it were seen, so 0.04 s of a second's step hide some."""
    same = costs_of(Cluster(None, None, 1e9, 0.0, 1), FIGURES, WORKERS)
    assert same.hidden_seconds == pytest.approx(0.04)
    assert (same.step_seconds, same.pairs, same.block_seconds) == (1.0, 4, 0.002)
    faster = costs_of(Cluster(8, 0.1, 1e10, 0.0, 1), FIGURES, WORKERS)
    assert faster.hidden_seconds == pytest.approx(0.004)
    assert faster.pairs_per_second(1) == pytest.approx(80)


def test_each_cluster_says_where_it_stops() -> None:
    predicted = predictions(FIGURES, WORKERS)
    assert set(predicted) == set(CLUSTERS)
    for cluster in predicted.values():
        assert cluster["efficiency"][0] == 1
        assert 1 <= cluster["largest_group"] <= COUNTS[-1]
        rates = cluster["pairs_per_second"]
        assert rates == sorted(rates)
