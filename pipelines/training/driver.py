"""Driver of a run: starts it, watches over it and records how it ended."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from charmnet.methods import Method
from charmnet.vocabulary import Domain
from pipelines.config.recipes import to_toml
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.quarantine import Quarantined, quarantine_limit
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion
from pipelines.runs.delivery_log import read_quarantine
from pipelines.runs.driver_lease import DriverLease
from pipelines.runs.run_folder import CONFIG_FILE, RunFolder
from pipelines.runtime.cluster import connect
from pipelines.runtime.signals import handling_signals
from pipelines.tracking import RunStatus, Tracker
from pipelines.tracking.server_check import ServerCheck
from pipelines.training.build import smallest_batch
from pipelines.training.fit import StopRequest, build_trainer, fit
from pipelines.training.job import RunTracking, TrainingJob
from pipelines.training.placement import Placement, data_nodes, place
from pipelines.training.preparation import prepare
from pipelines.training.record import reconcile_previous_runs, record_models, record_run
from pipelines.training.startup_timer import StartupTimer

if TYPE_CHECKING:
    from pipelines.training.coordinator import RunCoordinatorClient

# Ray Train's own settings. Its controller looks after the workers every 2 s by default; a group that lost a
# node asks so long for its old size before it goes on with what there is.
_RAY_TRAIN_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "25",
}

# Looks for nodes that were given notice, in a process of its own: of no use on a Ray that nobody else knows.
_PREEMPTION_WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run.

    Attributes:
        status: FINISHED, or KILLED where the run was asked to stop and saved a checkpoint.
        step: last step that is saved.
        run_folder: URI of the run's folder.
        metrics: scores of the last validation.
        page: how the run's page in MLflow is opened; None if its server was not reached.
        quarantined: samples that were replaced since they cannot be decoded.
    """

    status: RunStatus
    step: int
    run_folder: str
    metrics: dict[str, float]
    page: str | None
    quarantined: list[Quarantined]


def train(  # noqa: PLR0913 - where a run is kept and recorded
    config: TrainConfig,
    uris: Mapping[Domain, str | Sequence[str]],
    storage: str,
    name: str,
    tracking_uri: str | None = None,
    experiment: str = "charmnet",
    registered_name: str | None = None,
    timer: StartupTimer | None = None,
) -> RunResult:
    """Train the run `name` under `storage` to its last step, from where it stands.

    Args:
        config: configuration of the run.
        uris: URI of the data set by domain, or several that are streamed as one; the method's domains
            are needed.
        storage: URI of the folder that holds runs.
        name: name of the run.
        tracking_uri: address of the MLflow server; None records nothing.
        experiment: MLflow experiment.
        registered_name: name under which the best model is registered.
        timer: start-up timer that began with the command.

    Raises:
        ValueError: the configuration does not fit the data, the cluster or the run that is to go on.
        TrainingFailedError: the run broke down; what was saved stands.
        RunHeldError: another process drives the run.
        TrackingRefusedError: the MLflow server will not take the run's records.
        DataError, StorageError: a data set or the storage cannot be used.
    """
    for setting, value in _RAY_TRAIN_SETTINGS.items():
        os.environ.setdefault(setting, value)
    timer = timer or StartupTimer()
    timer.mark("imports")
    check = ServerCheck(tracking_uri, experiment, registered_name) if tracking_uri else None
    ready = prepare(config, uris, tracking_uri)
    config, datasets, specs, plan = ready.config, ready.datasets, ready.specs, ready.plan
    folder = RunFolder.of(storage, name)
    folder.check(plan.config, ready.digests, experiment)
    timer.mark("data sets")
    with ExitStack() as stack:
        _connect(check)
        timer.mark("cluster")
        stop = StopRequest()
        stack.enter_context(handling_signals(stop.make))  # after Ray, which takes SIGTERM when it starts
        placement = _place(config, ready.method, len(specs))
        lease = DriverLease.acquire(folder.location, config.storage_timeout_seconds, _say)
        stack.callback(lease.release)
        lease.confirm()
        record = folder.claim(name, plan.config, ready.digests, experiment)
        _write_configuration(folder, plan.config, datasets)
        tracking = RunTracking(tracking_uri, experiment, record.run_key, name) if tracking_uri else None
        timer.mark("record")
        coordinator = _start_coordinator(config, specs, folder, timer)
        stack.enter_context(lease.keep(coordinator.fail))
        job = TrainingJob(
            plan, folder.location, record.run_key, datasets, specs, placement, tracking, coordinator
        )
        return _tracked_run(job, name, registered_name, stop)


def _say(message: str) -> None:
    print(message, flush=True)


def _connect(check: ServerCheck | None) -> None:
    """Join Ray or start it, and hear what the MLflow server was asked meanwhile."""
    if connect():
        os.environ.setdefault(_PREEMPTION_WATCHER, "0")
    if check is not None:
        check.raise_refusal()


def _tracked_run(job: TrainingJob, name: str, registered_name: str | None, stop: StopRequest) -> RunResult:
    """Fit, and record how the run was started, its models and how it ended."""
    with build_trainer(job, name) as trainer:
        tracker = Tracker()
        if job.tracking:  # its thread has much to load; the workers need not wait for it
            tracker = job.tracking.open_for_driver(
                before_first_send=partial(reconcile_previous_runs, job.tracking)
            )
        status: RunStatus = "FAILED"
        try:
            fitted = fit(trainer, job, stop, tracker, while_starting=partial(record_run, tracker, job))
            status = "FINISHED" if fitted.step >= job.steps else "KILLED"
            if status == "FINISHED" and job.tracking:
                record_models(tracker, RunFolder(job.run_folder), fitted.checkpoint, registered_name)
        finally:
            tracker.close(status)
    quarantined = job.coordinator.quarantined()
    return RunResult(status, fitted.step, str(job.run_folder), fitted.metrics, tracker.page, quarantined)


def _start_coordinator(
    config: TrainConfig, specs: Mapping[str, StreamSpec], folder: RunFolder, timer: StartupTimer
) -> RunCoordinatorClient:
    from pipelines.training.coordinator import RunCoordinatorClient

    limits = {
        domain: quarantine_limit(config.max_quarantined, spec.plan.num_samples)
        for domain, spec in specs.items()
    }
    return RunCoordinatorClient.start(limits, read_quarantine(folder.location), timer)


def _write_configuration(
    folder: RunFolder, config: TrainConfig, datasets: Mapping[Domain, DatasetUnion]
) -> None:
    """Write the file that repeats the run with `charmnet train --config`."""
    data = {domain.value: union.uris for domain, union in datasets.items()}
    (folder.location / CONFIG_FILE).write_bytes(to_toml(config, data).encode())


def _place(config: TrainConfig, method: Method, num_domains: int) -> Placement:
    import ray

    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    nodes = data_nodes(config, ray.nodes())
    placement = place(config, num_domains, cpus, gpus, smallest_batch(config, method), nodes)
    fewest, _ = config.worker_range
    if placement.use_gpu and gpus < fewest:
        print(
            f"waiting: the run needs {fewest} GPUs and the cluster has {gpus:g}; it begins once the cluster "
            "has grown, which this machine alone does not (accelerator=cpu trains without)",
            flush=True,
        )
    return placement
