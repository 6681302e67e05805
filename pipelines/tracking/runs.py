"""Finding and creating the MLflow run of a training run.

A training run is one MLflow run, found by the tag `charmnet.run_key` whatever happens to its processes. Only
a driver creates it. If two exist nevertheless (the answer to a request was lost, or two drivers started at
once), every process continues with the one that started first.

This module imports MLflow, which takes more than a second: import it only where a server is used.
"""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from pipelines.runtime.redaction import redact
from pipelines.tracking.drivers import RUN_KEY_TAG, driver_tags
from pipelines.tracking.identity import RunIdentity
from pipelines.tracking.server import TrackingRefusedError, local_artifacts


def experiment_id_of(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if it does not exist.

    Raises:
        TrackingRefusedError: it was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=local_artifacts(client.tracking_uri))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another process was faster
            if experiment is None:
                raise
    check_experiment(experiment)
    return experiment.experiment_id


def check_experiment(experiment: Experiment | None) -> None:
    """Check that an experiment, if there is one, takes runs.

    Raises:
        TrackingRefusedError: it was deleted.
    """
    if experiment is not None and experiment.lifecycle_stage != "active":
        raise TrackingRefusedError(
            f"the experiment {experiment.name!r} was deleted; restore it there (mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}) or choose another --experiment"
        )


def check_registered_model(client: MlflowClient, name: str) -> None:
    """Ask the server for what registering a version of a model takes.

    Of a model that is there already the time of its last update changes, and nothing else.

    Raises:
        MlflowException: it refuses.
    """
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return
    client.update_registered_model(name, model.description or "")  # takes the same permission as a version


def find_runs(client: MlflowClient, experiment_id: str, run_key: str) -> list[Run]:
    """Return the runs of a key by start time, then id; the first is the one to use."""
    quoted = run_key.replace("'", "''")
    runs = client.search_runs([experiment_id], f"tags.`{RUN_KEY_TAG}` = '{quoted}'", max_results=100)
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def create_run(
    client: MlflowClient, experiment_id: str, identity: RunIdentity, start_milliseconds: int | None
) -> Run:
    """Create the run of a key; if there is another one by then, keep the first and delete the rest.

    Args:
        client: client of the tracking server.
        experiment_id: experiment to create the run in.
        identity: key and name of the run.
        start_milliseconds: start of the run, since 1970; None for now.
    """
    # With the driver's tags from the first moment: without them, no process could see that it died.
    own = {RUN_KEY_TAG: identity.run_key, **driver_tags()}
    tags = {key: value if key in own else redact(str(value)) for key, value in resolve_tags(own).items()}
    client.create_run(experiment_id, start_milliseconds, tags, identity.run_name)
    first, *others = find_runs(client, experiment_id, identity.run_key)
    for run in others:
        client.delete_run(run.info.run_id)
    return first
