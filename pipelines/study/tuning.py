"""Search for a configuration with Ray Tune: training runs side by side, the poor ones stopped early."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import MedianStoppingRule

from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.evaluation.report import metric_name
from pipelines.runs.checkpoints import newest_metadata
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.cluster import ClusterCapacity, connect
from pipelines.runtime.retry import retry_storage
from pipelines.study.processes import room
from pipelines.training.driver import train

_POLL_SECONDS = 1.0
_LEAST_TRIALS = 3  # that a trial is compared with
_RESOURCES = {"cpu": 0.0, "memory": 1.0}
"""Of a trial: a byte, since there must be something, and no CPU, which the workers of its run take."""
_ERROR, _STEP, _TRIAL = "error", "step", "trial"


@dataclass(frozen=True)
class TuningJob:
    """What every trial needs.

    Attributes:
        configs: configuration of each trial.
        uris: URIs of the data sets by domain.
        storage: URI of the folder of runs.
        name: name of the search; a trial's run is called `NAME-000` and so on.
        tracking_uri: address of the MLflow server; None records nothing.
        experiment: MLflow experiment.
    """

    configs: Sequence[TrainConfig]
    uris: Mapping[Domain, Sequence[str]]
    storage: str
    name: str
    tracking_uri: str | None
    experiment: str

    def run_name(self, trial: int) -> str:
        """Return the name of a trial's run."""
        return f"{self.name}-{trial:03d}"

    def metric(self, trial: int) -> str:
        """Return the metric that trials are compared by."""
        config = self.configs[trial]
        return f"eval/{metric_name(config.validate_splits[0])}/{config.best_metric}"


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        trial: number of the trial.
        step: last step that was validated; 0 where none was.
        value: metric then; None where there is none.
        problem: why it failed, or empty.
    """

    trial: int
    step: int
    value: float | None
    problem: str = ""


def run_search(job: TuningJob) -> list[TrialResult]:
    """Train all trials, as many at a time as the cluster has room for; the best come first.

    From its second validation on a trial is stopped whose best value so far is worse than the median of the
    others' means up to that step.
    """
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the newer one prints tables at any verbosity
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # the command's own ends it
    connect()
    config = job.configs[0]
    places = room(ClusterCapacity.current(), config.worker_range[0])
    mode = "max" if config.best_metric == "psnr" else "min"
    rule = MedianStoppingRule(
        time_attr=_STEP,
        metric=_ERROR,
        mode=mode,
        grace_period=config.validate_every + 1,
        min_samples_required=_LEAST_TRIALS,
    )
    trainable = tune.with_parameters(_train_trial, job=job)
    with tempfile.TemporaryDirectory(prefix="charmnet-tune-", ignore_cleanup_errors=True) as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, _RESOURCES),
            param_space={_TRIAL: tune.grid_search(list(range(len(job.configs))))},
            tune_config=tune.TuneConfig(scheduler=rule, max_concurrent_trials=places),
            run_config=tune.RunConfig(name=job.name, storage_path=scratch, verbose=0),
        )
        grid = tuner.fit()
        results = [_result(grid[number]) for number in range(len(grid))]
    sign = -1.0 if mode == "max" else 1.0
    return sorted(results, key=lambda one: (one.value is None, sign * (one.value or 0.0), one.trial))


def _result(result: Any) -> TrialResult:
    metrics = result.metrics or {}
    problem = "" if result.error is None else str(result.error).strip().splitlines()[-1]
    trial = (result.config or {})[_TRIAL]
    return TrialResult(trial, metrics.get(_STEP, 0), metrics.get(_ERROR), problem)


def _train_trial(params: Mapping[str, Any], job: TuningJob) -> None:
    """Train a trial's run, and report each of its validations once the checkpoint beside it is stored."""
    trial = int(params[_TRIAL])
    folder = RunFolder.of(job.storage, job.run_name(trial)).location
    timeout = job.configs[trial].storage_timeout_seconds
    problems: list[BaseException] = []
    thread = threading.Thread(target=_train, args=(trial, job, problems), daemon=True, name="trial")
    thread.start()
    reported = 0
    while True:
        thread.join(_POLL_SECONDS)
        ended = not thread.is_alive()
        newest = retry_storage(lambda: newest_metadata(folder), timeout)
        if newest is not None and newest[1]["step"] > reported:
            reported = newest[1]["step"]
            value = newest[1].get("metrics", {}).get(job.metric(trial))
            if value is not None:
                tune.report({_STEP: reported, _ERROR: value})
        if ended:
            break
    if problems:
        raise problems[0]


def _train(trial: int, job: TuningJob, problems: list[BaseException]) -> None:
    try:
        train(
            job.configs[trial],
            job.uris,
            job.storage,
            job.run_name(trial),
            job.tracking_uri,
            job.experiment,
        )
    except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for this one
        problems.append(error)
