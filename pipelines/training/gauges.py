"""Gauges of a worker, which Ray's metrics show (`charmnet_...` in Prometheus and Grafana)."""

from __future__ import annotations

from functools import cached_property

from ray.util.metrics import Gauge

from pipelines.training.stragglers import RankTimings

GAUGES = {
    "charmnet_step_seconds": "Duration of a training step",
    "charmnet_work_seconds": "Time of a step that a worker works by itself before gradients are exchanged",
    "charmnet_data_wait_seconds": "Time of a step that a worker waits for data",
}
"""Descriptions by name; infra/grafana shows them."""


class WorkerGauges:
    """Times of a step of one worker.

    Args:
        run: name of the run.
        rank: rank of the worker.
    """

    def __init__(self, run: str, rank: int) -> None:
        self._tags = {"run": run, "rank": str(rank)}
        self._rank = rank

    @cached_property
    def _gauges(self) -> list[Gauge]:
        return [Gauge(name, description, tag_keys=tuple(self._tags)) for name, description in GAUGES.items()]

    def show(self, timings: RankTimings) -> None:
        """Set the gauges."""
        own = timings.work_seconds[self._rank], timings.wait_seconds[self._rank]
        for gauge, value in zip(self._gauges, (timings.step_seconds, *own), strict=True):
            gauge.set(value, tags=self._tags)
