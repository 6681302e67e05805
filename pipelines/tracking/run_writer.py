"""Spooled entries, written into one MLflow run so that writing them again changes nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipelines.tracking.server import is_transient

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Metric, Run

logger = logging.getLogger(__name__)

METRICS_PER_REQUEST = 1000
RERUN_TAG = "charmnet.rerun_steps"
_MODEL_KEY_TAG = "charmnet.model_key"
_CHECKPOINT_TAG, _CHECKPOINT_STATE_TAG = "checkpoint_uri", "checkpoint_state"
_THUMBNAIL_PIXELS = 256
_DIGEST_CHARACTERS = 36  # more is refused by the server


class RunNotActiveError(OSError):
    """The run was deleted on the server; it may be restored there, so that waiting makes sense."""


class RunWriter:
    """Writes entries into a run.

    The server can neither change nor delete a point of a metric. A point whose metric and step it had before
    this writer came is therefore left out, so that steps that are taken again after a restart do not double.

    Args:
        reject: called with a reason for each thing that the server refuses for good.
    """

    def __init__(
        self, client: MlflowClient, run: Run, spool_folder: Path, reject: Callable[[str], None]
    ) -> None:
        self._client = client
        self.run_id: str = run.info.run_id
        self._experiment_id: str = run.info.experiment_id
        self._start_milliseconds: int = run.info.start_time
        self._tags: dict[str, str] = dict(run.data.tags)
        self._folder = spool_folder
        self._reject = reject
        self._last_steps = {metric.key: metric.step for metric in run.to_proto().data.metrics}
        self._stored_steps: dict[str, set[int]] = {}
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "params": self._write_params,
            "tags": self._write_tags,
            "image": self._write_image,
            "artifact": self._write_artifact,
            "dataset": self._write_dataset,
            "checkpoint": self._write_checkpoint,
            "kept_checkpoints": self._write_kept_checkpoints,
            "model": self._write_model,
            "status": self._write_status,
        }

    def note_rerun(self, resume_step: int) -> None:
        """Leaves a tag on the run that says which steps are being taken again, if any."""
        last = max(
            (step for key, step in self._last_steps.items() if not key.startswith("system/")), default=0
        )
        if last > resume_step:
            earlier = self._tags.get(RERUN_TAG)
            steps = f"{resume_step + 1}-{last}"
            self.set_tags({RERUN_TAG: f"{earlier}, {steps}" if earlier else steps})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags now."""
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def write(self, entries: list[dict[str, Any]]) -> None:
        """Writes entries of one kind; many at once only where they are metrics.

        Raises:
            Exception: transient (`is_transient`); all of them have to be written again.
        """
        if entries[0]["op"] == "metrics":
            self._write_metrics([metric for entry in entries for metric in self._new_metrics(entry)])
            return
        for entry in entries:
            self._isolated(partial(self._handlers[entry["op"]], entry), entry["op"])

    def _isolated(self, write: Callable[[], object], what: str) -> None:
        try:
            write()
        except Exception as error:
            if is_transient(error):
                raise
            self.require_active_run()
            self._reject(f"{what} refused by the server: {error}")

    def require_active_run(self) -> None:
        """Raises RunNotActiveError where the run was deleted, the likely cause of a refusal."""
        if self._client.get_run(self.run_id).info.lifecycle_stage != "active":
            raise RunNotActiveError(f"run {self.run_id} was deleted on the server; restore it there")

    # -- metrics

    def _new_metrics(self, entry: dict[str, Any]) -> list[Metric]:
        from mlflow.entities import Metric

        step, time = entry["step"], entry["time"]
        items = entry["metrics"].items()
        return [Metric(key, value, time, step) for key, value in items if not self._is_stored(key, step)]

    def _is_stored(self, key: str, step: int) -> bool:
        if step > self._last_steps.get(key, -1):
            return False
        if key not in self._stored_steps:
            history = self._client.get_metric_history(self.run_id, key)
            self._stored_steps[key] = {metric.step for metric in history}
        return step in self._stored_steps[key]

    def _write_metrics(self, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), METRICS_PER_REQUEST):
            self._write_batch(metrics[start : start + METRICS_PER_REQUEST])

    def _write_batch(self, metrics: list[Metric]) -> None:
        """One request; where it is refused, halves, down to the metric that is at fault."""
        try:
            self._client.log_batch(self.run_id, metrics=metrics)
        except Exception as error:
            if is_transient(error):
                raise
            self.require_active_run()
            if len(metrics) == 1:
                self._reject(f"metric {metrics[0].key!r} at step {metrics[0].step}: {error}")
                return
            middle = len(metrics) // 2
            self._write_batch(metrics[:middle])
            self._write_batch(metrics[middle:])

    # -- the rest, one request or more each

    def _write_params(self, entry: dict[str, Any]) -> None:
        from mlflow.entities import Param

        for key, value in entry["params"].items():
            log = partial(self._client.log_batch, self.run_id, params=[Param(key, value)])
            self._isolated(log, f"param {key!r}")

    def _write_tags(self, entry: dict[str, Any]) -> None:
        self.set_tags(entry["tags"])

    def _write_image(self, entry: dict[str, Any]) -> None:
        """As `MlflowClient.log_image` stores pictures, but under names that depend on key and step alone, so
        that a step that is taken again replaces its picture."""
        step, key = entry["step"], entry["key"]
        name = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.run_id} {key} {step}")
        stem = f"{key.replace('/', '~')}+step+{step}+timestamp+{self._start_milliseconds + step}+{name}"
        height, width = entry["size"]
        image = Image.frombytes("RGB", (width, height), self._blob(entry).read_bytes())
        with tempfile.TemporaryDirectory() as folder:
            image.save(Path(folder, f"{stem}.png"), compress_level=4)
            image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
            image.save(Path(folder, f"{stem}+compressed.webp"))
            self._client.log_artifacts(self.run_id, folder, "images")
        self.set_tags({"mlflow.loggedImages": "True"})

    def _write_artifact(self, entry: dict[str, Any]) -> None:
        self._client.log_artifact(self.run_id, str(self._blob(entry)), entry["folder"] or None)

    def _write_dataset(self, entry: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        uri, digest = entry["uri"], entry["digest"]
        scheme = uri.split("://")[0] if "://" in uri else "local"
        dataset = Dataset(entry["name"], digest[:_DIGEST_CHARACTERS], scheme, json.dumps({"uri": uri}))
        tags = [InputTag("mlflow.data.context", entry["context"]), InputTag("sha256", digest)]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def _write_status(self, entry: dict[str, Any]) -> None:
        if entry["status"] == "RUNNING":
            self._client.update_run(self.run_id, status="RUNNING")
        else:
            self._client.set_terminated(self.run_id, entry["status"], entry["time"])

    def _blob(self, entry: dict[str, Any]) -> Path:
        """The one file or folder that an entry carries."""
        files = list((self._folder / entry["blob"]).iterdir())
        if len(files) != 1:
            raise FileNotFoundError(
                f"{self._folder / entry['blob']} should hold one file, holds {len(files)}"
            )
        return files[0]

    # -- logged models

    def _write_checkpoint(self, entry: dict[str, Any]) -> None:
        """An external logged model: its weights stay where they are, named by the tag `checkpoint_uri`."""
        from mlflow.models.model import MLMODEL_FILE_NAME
        from mlflow.models.utils import get_external_mlflow_model_spec

        tags = {_CHECKPOINT_TAG: entry["uri"], _CHECKPOINT_STATE_TAG: "stored"}
        model = self._logged_model(
            f"checkpoint-{entry['step']:06d}",
            entry["uri"],
            entry["step"],
            {**tags, "mlflow.model.isExternal": "true"},
        )
        if model.tags.get(_CHECKPOINT_STATE_TAG) != "stored":  # it was removed, and its step taken again
            self._client.set_logged_model_tags(model.model_id, tags)
        if not _is_ready(model):
            with tempfile.TemporaryDirectory() as folder:
                get_external_mlflow_model_spec(model).save(str(Path(folder, MLMODEL_FILE_NAME)))
                self._client.log_model_artifacts(model.model_id, folder)
            self._client.finalize_logged_model(model.model_id, "READY")
        self._write_model_metrics(model, entry["step"], entry["time"], entry["metrics"])

    def _write_kept_checkpoints(self, entry: dict[str, Any]) -> None:
        """The logged models of checkpoints that were removed say so and lose their address.

        Those after the last that was kept are left alone: the entry may come late, from a lost node's spool.
        """
        stored = self._client.search_logged_models(
            [self._experiment_id],
            f"source_run_id = '{self.run_id}' AND tags.`{_CHECKPOINT_STATE_TAG}` = 'stored'",
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

    def _write_model(self, entry: dict[str, Any]) -> None:
        """A whole MLflow model from a folder, registered under a name where one was asked for."""
        key = f"{entry['name']} {entry['step']}"
        model = self._logged_model(entry["name"], key, entry["step"], {"charmnet.step": str(entry["step"])})
        if not _is_ready(model):
            self._client.log_model_artifacts(model.model_id, str(self._blob(entry)))
            self._client.finalize_logged_model(model.model_id, "READY")
        self._write_model_metrics(model, entry["step"], entry["time"], entry["metrics"])
        if entry["registered_name"]:
            self._register(model, entry["registered_name"], entry["aliases"])

    def _logged_model(self, name: str, key: str, step: int, tags: dict[str, str]) -> LoggedModel:
        """The run's logged model of a key, made where it does not exist."""
        from mlflow.entities import LoggedModelOutput

        key = hashlib.sha256(f"{self.run_id} {key}".encode()).hexdigest()
        found = self._client.search_logged_models(
            [self._experiment_id], f"tags.`{_MODEL_KEY_TAG}` = '{key}'", max_results=1
        )
        if found:
            return found[0]
        model = self._client.create_logged_model(
            self._experiment_id, name, source_run_id=self.run_id, tags={**tags, _MODEL_KEY_TAG: key}
        )
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step)])
        return model

    def _write_model_metrics(
        self, model: LoggedModel, step: int, time: int, metrics: Mapping[str, float]
    ) -> None:
        """Attaches metrics to a model. The server adds such points to the run as well: where the run has one
        for the step, that very point is repeated, so that it stays one."""
        from mlflow.entities import Metric

        points = []
        for key, value in metrics.items():
            history = self._client.get_metric_history(self.run_id, key)
            stored = next((point for point in history if point.step == step), None)
            source = stored or Metric(key, value, time, step)
            points.append(
                Metric(key, source.value, source.timestamp, step, model_id=model.model_id, run_id=self.run_id)
            )
        if points:
            self._write_metrics(points)

    def _register(self, model: LoggedModel, name: str, aliases: list[str]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"models:/{model.model_id}"
        versions = self._client.search_model_versions(f"name = '{name}'")
        version = next((version for version in versions if version.source == source), None)
        if version is None:
            version = self._client.create_model_version(
                name, source, run_id=self.run_id, model_id=model.model_id
            )
        for alias in aliases:
            self._client.set_registered_model_alias(name, alias, version.version)


def _is_ready(model: LoggedModel) -> bool:
    return str(model.status) == "READY"
