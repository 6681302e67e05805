"""Training runs of a study: putting them beneath the study's own run, and reading their metrics.

This module imports MLflow, which takes more than a second: import it only where a server is used.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.tracking.runs import experiment_id_of, find_runs
from pipelines.tracking.server import connect

PARENT_TAG = "mlflow.parentRunId"
"""Tag by which MLflow's pages show a run beneath another."""


def nest_runs(tracking_uri: str, experiment: str, parent_key: str, child_keys: Iterable[str]) -> bool:
    """Put runs beneath another one, as MLflow's pages show it; doing it again changes nothing.

    Args:
        tracking_uri: address of the server.
        experiment: experiment of all of them.
        parent_key: key of the run that they belong to.
        child_keys: keys of the runs.

    Returns:
        Whether all of them were there.

    Raises:
        MlflowException: the server does not answer.
    """
    client = connect(tracking_uri)
    experiment_id = experiment_id_of(client, experiment)
    parents = find_runs(client, experiment_id, parent_key)
    if not parents:
        return False
    parent = parents[0].info.run_id
    children = [find_runs(client, experiment_id, key) for key in child_keys]
    for run in (runs[0] for runs in children if runs):
        if run.data.tags.get(PARENT_TAG) != parent:
            client.set_tag(run.info.run_id, PARENT_TAG, parent)
    return all(children)


def metric_history(tracking_uri: str, experiment: str, run_key: str, metric: str) -> list[tuple[int, float]]:
    """Return (step, value) of a run's metric, ascending; nothing where there is no such run or metric.

    Raises:
        MlflowException: the server does not answer.
    """
    client = connect(tracking_uri)
    runs = find_runs(client, experiment_id_of(client, experiment), run_key)
    history = client.get_metric_history(runs[0].info.run_id, metric) if runs else []
    return sorted((point.step, point.value) for point in history)
