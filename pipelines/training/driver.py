"""Starting a run, watching over it and recording how it ended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import FrameType
from typing import Any

from charmnet.errors import CharmNetError
from charmnet.vocabulary import Domain
from pipelines.cluster import connect
from pipelines.config import TrainConfig
from pipelines.ingest.window import StreamSpec
from pipelines.progress import progress
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.storage import Location
from pipelines.tracking import NullTracker, RunStatus, Tracker
from pipelines.training.job import RunTracking, TrainingJob, method_of
from pipelines.training.placement import Placement, place
from pipelines.training.record import record_models, record_run, settle_earlier_runs
from pipelines.training.run_folder import RunFolder

RELEASED_EPOCHS = 200

_NEWS_SECONDS = 1.0

# Ray Train's own settings. A report waits for the controller's next look, which is every 2 s by default; a
# group that lost a node asks so long for its old size before it goes on with what there is.
_RAY_TRAIN_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "25",
}


class TrainingFailedError(CharmNetError):
    """The run ended before its last step, and not because it was asked to."""


@dataclass(frozen=True)
class RunResult:
    """
    Attributes:
        status: FINISHED, or KILLED where the run was asked to stop and saved a checkpoint.
        step: the last one that is saved. run_folder: URI.
        metrics: of the last validation.
        run_id: MLflow's; None if its server was not reached.
    """

    status: RunStatus
    step: int
    run_folder: str
    metrics: dict[str, float]
    run_id: str | None


def train(
    config: TrainConfig,
    uris: Mapping[Domain, str],
    storage: str,
    name: str,
    tracking_uri: str | None = None,
    experiment: str = "charmnet",
    registered_name: str | None = None,
) -> RunResult:
    """Runs the training run `name` under `storage` to its last step, from where it stands.

    Args:
        uris: of the data sets; those of the method's domains are needed.
        tracking_uri: of the MLflow server; None records nothing.
        registered_name: under which the best model is registered.

    Raises:
        ValueError: the configuration does not fit the data, the cluster or the run that is to go on.
        TrainingFailedError: the run broke down; what was saved stands.
        DataError, StorageError: a data set or the storage cannot be used.
    """
    for setting, value in _RAY_TRAIN_SETTINGS.items():
        os.environ.setdefault(setting, value)
    connect()
    datasets = _open_datasets(uris, method_of(config).domains)
    specs = stream_specs(config, datasets)
    config = replace(config, steps=config.steps or released_steps(specs))
    placement = _place(config, len(specs))
    folder = RunFolder.of(storage, name)
    _check_validation(config, datasets)
    record = folder.claim(name, config, {d.value: data.manifest.digest for d, data in datasets.items()})
    tracking = RunTracking(tracking_uri, experiment, record.run_key, name) if tracking_uri else None
    tracker: Tracker = NullTracker()
    if tracking:
        settle_earlier_runs(tracking)
        tracker = tracking.open_for_driver()
    job = TrainingJob(config, folder.location, record.run_key, datasets, tracking, _control())
    status: RunStatus = "FAILED"
    try:
        with _stopping_on_sigterm(job.control):
            record_run(tracker, job)
            result = _fit(job, specs, placement, storage, name)
        status = "KILLED" if result.step < job.steps else "FINISHED"
        if tracking:
            record_models(
                tracker, folder, folder.location / result.checkpoint, config.image_size, registered_name
            )
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.close(status)
    return RunResult(status, result.step, str(folder.location), result.metrics, tracker.run_id)


def _open_datasets(uris: Mapping[Domain, str], domains: frozenset[Domain]) -> dict[Domain, Dataset]:
    missing = sorted(f"--{domain}" for domain in domains if domain not in uris)
    if missing:
        raise ValueError(f"{' and '.join(missing)} missing: the method needs a data set of each domain")
    datasets = {domain: Dataset.open(uris[domain]) for domain in sorted(uris)}
    for domain, dataset in datasets.items():
        if dataset.manifest.domain != domain:
            raise ValueError(f"--{domain} {dataset.location}: holds the {dataset.manifest.domain} domain")
    return datasets


def stream_specs(config: TrainConfig, datasets: Mapping[Domain, Dataset]) -> dict[str, StreamSpec]:
    """What of each domain is streamed, by the domain's name.

    Raises:
        ValueError: a selection picks nothing.
    """
    selections = {Domain.REAL: config.real_select, Domain.RENDERED: config.rendered_select}
    specs = {
        domain.value: StreamSpec(
            dataset=datasets[domain],
            batch_size=config.batch_size,
            seed=config.seed,
            selection=Selection(selections[domain]),
            size=config.image_size,
            pool_row_groups=config.pool_row_groups,
        )
        for domain in sorted(method_of(config).domains)
    }
    for spec in specs.values():
        _ = spec.plan  # refuses an empty selection here and not in a worker
    return specs


def _check_validation(config: TrainConfig, datasets: Mapping[Domain, Dataset]) -> None:
    """
    Raises:
        ValueError: a split to validate on is not in the real data set; lists those that are.
    """
    splits = datasets[Domain.REAL].manifest.totals()["split"] if Domain.REAL in datasets else {}
    unknown = sorted(set(config.validate) - set(splits))
    if unknown:
        raise ValueError(
            f"validate={','.join(unknown)}: --real has no such split; it has {', '.join(splits)}"
        )


def released_steps(specs: Mapping[str, StreamSpec]) -> int:
    """200 epochs, of which each has as many batches as the smaller domain."""
    return RELEASED_EPOCHS * min(-(-s.plan.num_samples // s.batch_size) for s in specs.values())


def _place(config: TrainConfig, num_domains: int) -> Placement:
    import ray

    resources = ray.cluster_resources()
    return place(config, num_domains, resources.get("CPU", 0.0), resources.get("GPU", 0.0))


def _control() -> Any:
    from pipelines.training.control import Control

    return Control.remote()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Fitted:
    step: int
    metrics: dict[str, float]
    checkpoint: str  # its name in the run's folder


def _fit(
    job: TrainingJob, specs: dict[str, StreamSpec], placement: Placement, storage: str, name: str
) -> _Fitted:
    """Has Ray Train run the workers to the end, or to where they are asked to stop."""
    import ray
    from ray.train.v2.api.exceptions import TrainingFailedError as RayTrainingFailedError

    trainer = _trainer(job, specs, placement, storage, name)
    try:
        with _showing_progress(job):
            result = trainer.fit()
    except RayTrainingFailedError as error:
        raise TrainingFailedError(f"the run {job.run_folder} failed: {_reason(error)}") from error
    failure = ray.get(job.control.failure.remote())
    if failure:
        raise TrainingFailedError(f"the run {job.run_folder} failed: {failure}")
    metrics = dict(result.metrics or {})
    name_of_last = PurePosixPath(result.checkpoint.path).name
    return _Fitted(int(metrics.pop("step", 0)), metrics, name_of_last)


def _trainer(
    job: TrainingJob, specs: dict[str, StreamSpec], placement: Placement, storage: str, name: str
) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from pipelines.ingest.lanes import LaneDataConfig
    from pipelines.training.loop import train_worker

    fewest, most = job.config.worker_range
    filesystem, path = Location.of(storage).arrow()
    resources = {"CPU": placement.cpus_per_worker} | ({"GPU": 1.0} if placement.use_gpu else {})
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        datasets=specs,  # type: ignore[arg-type]  # LaneDataConfig makes shards of them
        dataset_config=LaneDataConfig(placement.cpus_per_task, placement.cpus_per_domain),
        scaling_config=ScalingConfig(
            num_workers=fewest if fewest == most else (fewest, most),  # type: ignore[arg-type]
            use_gpu=placement.use_gpu,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=job.config.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=job.config.keep_checkpoints),
        ),
    )


@contextmanager
def _showing_progress(job: TrainingJob) -> Iterator[None]:
    """While inside, prints what rank 0 tells, with a bar where someone is looking."""
    import ray

    ended = threading.Event()

    def show() -> None:
        shown = 0
        with progress("Training", total=job.steps) as advance:
            while not ended.wait(_NEWS_SECONDS):
                step, news = ray.get(job.control.latest.remote())
                if step > shown:
                    print(f"step {step}/{job.steps}  {news}", flush=True)
                    advance(step - shown)
                    shown = step

    watcher = threading.Thread(target=show, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextmanager
def _stopping_on_sigterm(control: Any) -> Iterator[None]:
    """While inside, SIGTERM (`ray job stop`) has the workers save a checkpoint and return."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        # From a thread: the main one may be inside Ray, which must not be entered twice.
        threading.Thread(target=control.request_stop.remote, daemon=True).start()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _reason(error: BaseException) -> str:
    """The innermost cause of what Ray Train reports, in one line."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        return _reason(next(iter(failures.values())))
    cause = getattr(error, "cause", None) or error.__cause__
    return _reason(cause) if isinstance(cause, BaseException) else f"{type(error).__name__}: {error}"
