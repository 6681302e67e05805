"""Scenarios by name: each breaks a run of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.chaos.checks import ScenarioRun
from pipelines.chaos.data_faults import bytes_flipped, picture_poisonous, row_truncated, shard_deleted
from pipelines.chaos.environment import Environment
from pipelines.chaos.node_faults import node_added, node_drained, node_lost, node_returns, sizes_change
from pipelines.chaos.process_faults import data_task_killed, driver_killed, two_drivers, worker_killed
from pipelines.chaos.service_faults import (
    disk_full,
    experiment_deleted,
    mlflow_absent,
    mlflow_away,
    mlflow_slow,
    store_down,
    store_failing,
    store_slow,
)
from pipelines.chaos.worker_scenarios import (
    batch_nan,
    bit_flipped,
    checkpoint_slow,
    interpreter_held,
    worker_slow,
    worker_stopped,
    worker_stuck,
)


@dataclass(frozen=True)
class Scenario:
    """A way to break a run.

    Attributes:
        fault: the fault in words, for the table.
        play: starts the run, injects the fault and waits until the run has ended.
    """

    fault: str
    play: Callable[[Environment], ScenarioRun]


SCENARIOS: dict[str, Scenario] = {
    "worker-killed": Scenario("SIGKILL of a worker, at random moments", worker_killed),
    "driver-killed": Scenario("SIGKILL of the driver, job submitted again", driver_killed),
    "two-drivers": Scenario("a second driver of a run; then SIGKILL of the first", two_drivers),
    "data-task-killed": Scenario("SIGKILL of a data task", data_task_killed),
    "batch-nan": Scenario("a NaN in one worker's batch", batch_nan),
    "bit-flipped": Scenario("a bit flips in one worker's weights", bit_flipped),
    "worker-slow": Scenario("one worker gets a third of the time, then another", worker_slow),
    "worker-stopped": Scenario("SIGSTOP of a worker", worker_stopped),
    "worker-stuck": Scenario("one worker never ends an update", worker_stuck),
    "interpreter-held": Scenario("one worker holds Python's interpreter for 70 s", interpreter_held),
    "checkpoint-slow": Scenario("one worker pauses for 70 s, as a long validation", checkpoint_slow),
    "node-lost": Scenario("the node that trains is lost, another takes over", node_lost),
    "node-returns": Scenario("the only node is lost, back after 10 s", node_returns),
    "node-drained": Scenario("one of two nodes has notice and is lost (elastic run)", node_drained),
    "node-added": Scenario("a second node comes (elastic run)", node_added),
    "sizes-change": Scenario("1, 3, 2, 1 and 3 nodes (elastic run)", sizes_change),
    "store-down": Scenario("object store down for 30 s", store_down),
    "store-slow": Scenario("object store slow: 200 ms a request (times: requests)", store_slow),
    "store-failing": Scenario("5% of the store's requests fail (times: requests)", store_failing),
    "mlflow-absent": Scenario("MLflow down from before the start to after the end", mlflow_absent),
    "mlflow-away": Scenario("MLflow down in the middle, and back", mlflow_away),
    "mlflow-slow": Scenario("20 kB/s to MLflow: the models arrive after the end", mlflow_slow),
    "experiment-deleted": Scenario("MLflow's experiment is deleted, later restored", experiment_deleted),
    "disk-full": Scenario("disk full beneath the spool, for some steps", disk_full),
    "shard-deleted": Scenario("a shard is deleted", shard_deleted),
    "bytes-flipped": Scenario("bytes of a shard are flipped", bytes_flipped),
    "row-truncated": Scenario("a row's picture is cut short", row_truncated),
    "picture-poisonous": Scenario("a picture crashes the decoder", picture_poisonous),
}
