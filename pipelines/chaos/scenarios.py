"""The faults by name: each is played on a run of its own, to that run's end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.chaos.data_faults import bytes_flipped, picture_poisonous, row_truncated, shard_deleted
from pipelines.chaos.lab import Lab
from pipelines.chaos.process_faults import (
    data_task_killed,
    driver_killed,
    node_lost,
    node_returns,
    worker_killed,
)
from pipelines.chaos.service_faults import (
    disk_full,
    mlflow_absent,
    mlflow_away,
    store_down,
    store_failing,
    store_slow,
)
from pipelines.chaos.verdict import Played


@dataclass(frozen=True)
class Scenario:
    """
    Attributes:
        fault: in the table's words. play: starts the run, breaks something, and waits for the run's end.
    """

    fault: str
    play: Callable[[Lab], Played]


SCENARIOS: dict[str, Scenario] = {
    "worker-killed": Scenario("SIGKILL of a worker, at random moments", worker_killed),
    "driver-killed": Scenario("SIGKILL of the driver, job submitted again", driver_killed),
    "data-task-killed": Scenario("SIGKILL of a data task", data_task_killed),
    "node-lost": Scenario("the node that trains is lost, another takes over", node_lost),
    "node-returns": Scenario("the only node is lost, back after 10 s", node_returns),
    "store-down": Scenario("object store down for 30 s", store_down),
    "store-slow": Scenario("object store slow: 200 ms a request (times: requests)", store_slow),
    "store-failing": Scenario("5% of the store's requests fail (times: requests)", store_failing),
    "mlflow-absent": Scenario("MLflow down from before the start to after the end", mlflow_absent),
    "mlflow-away": Scenario("MLflow down in the middle, and back", mlflow_away),
    "disk-full": Scenario("disk full beneath the spool, for some steps", disk_full),
    "shard-deleted": Scenario("a shard is deleted", shard_deleted),
    "bytes-flipped": Scenario("bytes of a shard are flipped", bytes_flipped),
    "row-truncated": Scenario("a row's picture is cut short", row_truncated),
    "picture-poisonous": Scenario("a picture crashes the decoder", picture_poisonous),
}
