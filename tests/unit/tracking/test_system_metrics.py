"""Metrics of a node."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.runtime.retry import wait_until
from pipelines.tracking import SystemSampler, Tracker


class Recorder(Tracker):
    """Keeps the metrics that it is given."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        assert step is None
        self.metrics |= metrics


def test_the_sampler_names_the_node() -> None:
    recorder = Recorder()
    with SystemSampler(recorder, "node-0", interval_seconds=0.05):
        wait_until(lambda: recorder.metrics, 10, "nothing was sampled", poll_seconds=0.02)
    assert 0 < recorder.metrics["system/node-0/memory_percent"] < 100
    assert 0 <= recorder.metrics["system/node-0/cpu_percent"] <= 100
    assert recorder.metrics["system/node-0/network_sent_bytes_per_second"] >= 0
