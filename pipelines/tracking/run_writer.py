"""Writer of spooled entries into one MLflow run, where writing an entry again changes nothing.

This module imports MLflow, which takes more than a second: import it only where a server is used.
"""

from __future__ import annotations

import json
import logging
import tempfile
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
)
from PIL import Image

from charmnet.errors import in_words
from pipelines.tracking.file_sender import FileSender
from pipelines.tracking.model_writer import ModelWriter
from pipelines.tracking.refusals import is_transient
from pipelines.tracking.server import METRICS_PER_REQUEST, TrackingRefusedError
from pipelines.tracking.spool_entries import blob_path

logger = logging.getLogger(__name__)

RERUN_TAG = "charmnet.rerun_steps"
_THUMBNAIL_PIXELS = 256
_DIGEST_CHARACTERS = 36  # the server refuses more


class RunWriter:
    """Writer of entries into a run.

    The server can neither change nor delete a point of a metric. A point whose metric and step the server had
    before this writer began is therefore left out, so that steps that are repeated after a restart do not
    have two points.

    Attributes:
        run_id: server's id of the run.

    Args:
        client: client of the tracking server.
        run: run to write into.
        spool_folder: folder of the spool, which holds the entries' files.
        reject: called with the reason for each thing that the server refuses for good.
        stopped: tells whether a file that is being sent is to be left.
    """

    def __init__(
        self,
        client: MlflowClient,
        run: Run,
        spool_folder: Path,
        reject: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._client = client
        self.run_id: str = run.info.run_id
        self._start_milliseconds: int = run.info.start_time
        self._tags: dict[str, str] = dict(run.data.tags)
        self._folder = spool_folder
        self._reject = reject
        self._last_steps = {metric.key: metric.step for metric in run.to_proto().data.metrics}
        self._stored_steps: dict[str, set[int]] = {}
        self._artifacts: str = run.info.artifact_uri
        self._files = FileSender(client, spool_folder, stopped)
        models = ModelWriter(client, run, spool_folder, self._write_metrics, self._files)
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "params": self._write_params,
            "tags": self._write_tags,
            "image": self._write_image,
            "artifact": self._write_artifact,
            "dataset": self._write_dataset,
            "checkpoint": models.write_checkpoint,
            "kept_checkpoints": models.write_kept_checkpoints,
            "model": models.write_model,
            "status": self._write_status,
        }

    def note_rerun(self, resume_step: int) -> None:
        """Set a tag on the run that names the steps to be repeated, if there are any."""
        last = max(
            (step for key, step in self._last_steps.items() if not key.startswith("system/")), default=0
        )
        if last > resume_step:
            earlier = self._tags.get(RERUN_TAG)
            steps = f"{resume_step + 1}-{last}"
            self.set_tags({RERUN_TAG: f"{earlier}, {steps}" if earlier else steps})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run, in one request."""
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def write(self, entries: list[dict[str, Any]]) -> None:
        """Write entries of one kind; several at once only if they are metrics.

        Entries that can never be written are passed to `reject`.

        Raises:
            Exception: a request may succeed later; all of the entries have to be written again.
        """
        if not entries:
            return
        op = entries[0]["op"]
        if op == "metrics":
            metrics: list[Metric] = []
            for entry in entries:
                self._isolate(partial(self._add_new_metrics, metrics, entry), op)
            self._write_metrics(metrics)
        else:
            for entry in entries:
                self._isolate(partial(self._write_entry, entry), op)

    def _write_entry(self, entry: dict[str, Any]) -> None:
        self._handlers[entry["op"]](entry)

    def _isolate(self, write: Callable[[], object], name: str) -> None:
        """Write, and reject what fails for good.

        Raises:
            Exception: the request may succeed later.
        """
        try:
            write()
        except Exception as error:
            if is_transient(error):
                raise
            self._require_active_run()
            logger.debug("%s refused", name, exc_info=True)
            self._reject(f"{name} refused ({in_words(error)})")

    def _require_active_run(self) -> None:
        """Raise an error if the run was deleted, the likely cause of a refusal; it may be restored there."""
        if self._client.get_run(self.run_id).info.lifecycle_stage != "active":
            raise TrackingRefusedError(
                f"the run {self.run_id} was deleted; restore it there (mlflow runs restore --run-id "
                f"{self.run_id})"
            )

    # -- metrics

    def _add_new_metrics(self, metrics: list[Metric], entry: dict[str, Any]) -> None:
        step, time = entry["step"], entry["time"]
        items = entry["metrics"].items()
        metrics += [Metric(key, value, time, step) for key, value in items if not self._is_stored(key, step)]

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
        """Write metrics in one request; if it is refused, write halves, down to the refused metric."""
        try:
            self._client.log_batch(self.run_id, metrics=metrics)
        except Exception as error:
            if is_transient(error):
                raise
            self._require_active_run()
            if len(metrics) == 1:
                self._reject(f"metric {metrics[0].key!r} at step {metrics[0].step}: {error}")
                return
            middle = len(metrics) // 2
            self._write_batch(metrics[:middle])
            self._write_batch(metrics[middle:])

    # -- other entries, one request or more each

    def _write_params(self, entry: dict[str, Any]) -> None:
        for key, value in entry["params"].items():
            log = partial(self._client.log_batch, self.run_id, params=[Param(key, value)])
            self._isolate(log, f"param {key!r}")

    def _write_tags(self, entry: dict[str, Any]) -> None:
        self.set_tags(entry["tags"])

    def _write_image(self, entry: dict[str, Any]) -> None:
        """Write a picture as `MlflowClient.log_image` does, but under a name made of key and step alone.

        A step that is repeated thereby replaces its picture.
        """
        step, key = entry["step"], entry["key"]
        name = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.run_id} {key} {step}")
        stem = f"{key.replace('/', '~')}+step+{step}+timestamp+{self._start_milliseconds + step}+{name}"
        height, width = entry["size"]
        image = Image.frombytes("RGB", (width, height), blob_path(self._folder, entry).read_bytes())
        with tempfile.TemporaryDirectory() as folder:
            image.save(Path(folder, f"{stem}.png"), compress_level=4)
            image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
            image.save(Path(folder, f"{stem}+compressed.webp"))
            self._files.send(Path(folder), self._artifacts, "images", key=entry["blob"])
        self.set_tags({"mlflow.loggedImages": "True"})

    def _write_artifact(self, entry: dict[str, Any]) -> None:
        source = blob_path(self._folder, entry)
        self._files.send(source, self._artifacts, entry["folder"] or None, key=entry["blob"])

    def _write_dataset(self, entry: dict[str, Any]) -> None:
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
