"""Writer of spooled checkpoints and models as logged models of one MLflow run."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.models.utils import get_external_mlflow_model_spec

from pipelines.tracking.file_sender import FileSender
from pipelines.tracking.spool_entries import blob_path

_MODEL_KEY_TAG = "charmnet.model_key"
_CHECKPOINT_TAG = "checkpoint_uri"
_CHECKPOINT_STATE_TAG = "checkpoint_state"


class ModelWriter:
    """Writer of logged models, of which writing one again changes nothing.

    Args:
        client: client of the tracking server.
        run: run that the models belong to.
        spool_folder: folder of the spool, which holds the entries' files.
        write_metrics: writes points of metrics into the run.
        files: sends the files of models.
    """

    def __init__(
        self,
        client: MlflowClient,
        run: Run,
        spool_folder: Path,
        write_metrics: Callable[[list[Metric]], None],
        files: FileSender,
    ) -> None:
        self._client = client
        self._run_id: str = run.info.run_id
        self._experiment_id: str = run.info.experiment_id
        self._folder = spool_folder
        self._write_metrics = write_metrics
        self._files = files

    def write_checkpoint(self, entry: dict[str, Any]) -> None:
        """Write an external logged model: its weights stay where the tag `checkpoint_uri` says."""
        uri: str = entry["uri"]
        tags = {_CHECKPOINT_TAG: uri, _CHECKPOINT_STATE_TAG: "stored"}
        external = {**tags, "mlflow.model.isExternal": "true"}
        model = self._logged_model(name=uri.rpartition("/")[2], key=uri, step=entry["step"], tags=external)
        if model.tags.get(_CHECKPOINT_STATE_TAG) != "stored":  # it was removed, and its step repeated
            self._client.set_logged_model_tags(model.model_id, tags)
        if not _is_ready(model):
            with tempfile.TemporaryDirectory() as folder:
                get_external_mlflow_model_spec(model).save(str(Path(folder, MLMODEL_FILE_NAME)))
                self._client.log_model_artifacts(model.model_id, folder)
            self._client.finalize_logged_model(model.model_id, "READY")
        self._write_model_metrics(model, entry["step"], entry["time"], entry["metrics"])

    def write_kept_checkpoints(self, entry: dict[str, Any]) -> None:
        """Mark the logged models of removed checkpoints as removed, and delete their address.

        Models of checkpoints after the last one in the entry stay unchanged: the entry may come late, from
        the spool of a lost node.
        """
        stored = self._client.search_logged_models(
            [self._experiment_id],
            f"source_run_id = '{self._run_id}' AND tags.`{_CHECKPOINT_STATE_TAG}` = 'stored'",
            order_by=[{"field_name": "creation_timestamp", "ascending": True}],  # a page holds a hundred
        )
        kept = entry["uris"]
        for model in stored:
            uri = model.tags.get(_CHECKPOINT_TAG)
            if uri in kept or (uri and uri > max(kept, default="")):
                continue
            if uri:
                self._client.delete_logged_model_tag(model.model_id, _CHECKPOINT_TAG)
            self._client.set_logged_model_tags(model.model_id, {_CHECKPOINT_STATE_TAG: "removed"})

    def write_model(self, entry: dict[str, Any]) -> None:
        """Write an MLflow model from a folder, and register it if the entry names a registered model."""
        key = f"{entry['name']} {entry['step']}"
        tags = {"charmnet.step": str(entry["step"])}
        model = self._logged_model(name=entry["name"], key=key, step=entry["step"], tags=tags)
        if not _is_ready(model):
            source = blob_path(self._folder, entry)
            self._files.send(source, model.artifact_location, None, key=entry["blob"])
            self._client.finalize_logged_model(model.model_id, "READY")
        self._write_model_metrics(model, entry["step"], entry["time"], entry["metrics"])
        if entry["registered_name"]:
            self._register(model, entry["registered_name"], entry["aliases"])

    def _logged_model(self, *, name: str, key: str, step: int, tags: dict[str, str]) -> LoggedModel:
        """Return the run's logged model of a key, which is created if it does not exist."""
        key_digest = hashlib.sha256(f"{self._run_id} {key}".encode()).hexdigest()
        stored = self._client.search_logged_models(
            [self._experiment_id], f"tags.`{_MODEL_KEY_TAG}` = '{key_digest}'", max_results=1
        )
        if stored:
            return stored[0]
        model = self._client.create_logged_model(
            self._experiment_id, name, source_run_id=self._run_id, tags={**tags, _MODEL_KEY_TAG: key_digest}
        )
        self._client.log_outputs(self._run_id, [LoggedModelOutput(model.model_id, step)])
        return model

    def _write_model_metrics(
        self, model: LoggedModel, step: int, time: int, metrics: Mapping[str, float]
    ) -> None:
        """Attach metrics to a model.

        The server adds such points to the run as well: if the run has a point of the step, exactly that point
        is repeated, so that there is one.
        """
        points = []
        for key, value in metrics.items():
            history = self._client.get_metric_history(self._run_id, key)
            stored = next((point for point in history if point.step == step), None)
            source = stored or Metric(key, value, time, step)
            points.append(
                Metric(
                    key, source.value, source.timestamp, step, model_id=model.model_id, run_id=self._run_id
                )
            )
        if points:
            self._write_metrics(points)

    def _register(self, model: LoggedModel, name: str, aliases: list[str]) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Beside a database MLflow looks for `models:/` at the process's default address, and makes one there.
        own_process = self._client.tracking_uri.startswith("sqlite:")
        source = model.artifact_location if own_process else f"models:/{model.model_id}"
        versions = self._client.search_model_versions(f"run_id = '{self._run_id}'")
        version = next((v for v in versions if (v.name, v.source) == (name, source)), None)
        if version is None:
            version = self._client.create_model_version(
                name, source, run_id=self._run_id, model_id=model.model_id
            )
        for alias in aliases:
            self._client.set_registered_model_alias(name, alias, version.version)


def _is_ready(model: LoggedModel) -> bool:
    return str(model.status) == "READY"
