"""Tracker of an MLflow run: every call appends to a spool, and threads send the spools' entries."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import numpy as np

from charmnet.arrays import UInt8Array
from charmnet.errors import in_words
from pipelines.runtime.redaction import redact_structure
from pipelines.tracking.drivers import driver_tags
from pipelines.tracking.identity import RunIdentity, write_identity
from pipelines.tracking.server import use_credentials
from pipelines.tracking.shipper import Role, Shipper
from pipelines.tracking.spool import SpoolInUseError
from pipelines.tracking.spool_pair import SpoolPair
from pipelines.tracking.tracker import RunStatus, Tracker

logger = logging.getLogger(__name__)

_HEALTH_SECONDS = 30.0
_LARGEST_REDACTED_BYTES = 16 << 20

Parameters = ParamSpec("Parameters")


def _never_raises(
    log: Callable[Concatenate[MlflowTracker, Parameters], None],
) -> Callable[Concatenate[MlflowTracker, Parameters], None]:
    """Make a method report and count its failure: tracking must not end what it tracks."""

    @wraps(log)
    def guarded(self: MlflowTracker, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            log(self, *args, **kwargs)
        except Exception as error:
            logger.debug("%s failed", log.__name__, exc_info=True)
            self.count_dropped(f"{log.__name__}: {in_words(error)}")

    return guarded


class MlflowTracker(Tracker):
    """Tracker of an MLflow run; see `open_tracker`.

    Args:
        spools: hold records and files until they are sent.
        shipper: thread that sends the records.
        files_shipper: thread that sends the files.
        health_prefix: prefix of the metrics about the tracker itself, such as `tracker`.
    """

    def __init__(
        self, spools: SpoolPair, shipper: Shipper, files_shipper: Shipper, health_prefix: str
    ) -> None:
        self._spools = spools
        self._shipper = shipper
        self._files_shipper = files_shipper
        self._health_prefix = health_prefix
        self._last_step = -1
        self._health_step = -1
        self._health_due = time.monotonic() + _HEALTH_SECONDS

    @property
    def run_id(self) -> str | None:
        """See `Tracker`."""
        return self._shipper.run_id

    @property
    def page(self) -> str | None:
        """See `Tracker`."""
        return self._shipper.page

    def count_dropped(self, reason: str) -> None:
        """Count a record that was given to the tracker and cannot be kept."""
        self._spools.records.count_dropped(1, reason)

    def _append(
        self, op: str, fields: Mapping[str, Any], blob: bytes | Path | None = None, name: str = "blob"
    ) -> None:
        entry = {"op": op, "time": time.time_ns() // 1_000_000, **fields}
        self._spools.append(entry, blob, name)

    @_never_raises
    def log_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        """See `Tracker`; metrics about the tracker itself are added every 30 s."""
        values = _numbers(metrics)
        if step is None:
            self._append("metrics", {"step": int(time.time()), "by_clock": True, "metrics": values})
            return
        self._last_step = int(step)
        if time.monotonic() >= self._health_due and self._last_step > self._health_step:
            values |= self._health()
        self._append("metrics", {"step": self._last_step, "metrics": values})

    def _health(self) -> dict[str, float]:
        self._health_due = time.monotonic() + _HEALTH_SECONDS
        self._health_step = self._last_step
        return {
            f"{self._health_prefix}/pending_bytes": float(self._spools.pending_bytes),
            f"{self._health_prefix}/dropped": float(self._spools.dropped),
        }

    @_never_raises
    def log_image(self, image: UInt8Array, key: str, step: int) -> None:
        """See `Tracker`; the sending thread encodes the picture, so that the caller need not wait."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image {key!r} is {image.dtype}{image.shape}, expected uint8 [H,W,3]")
        pixels = np.ascontiguousarray(image).tobytes()
        self._append("image", {"key": key, "step": int(step), "size": image.shape[:2]}, pixels)

    @_never_raises
    def log_params(self, params: Mapping[str, object]) -> None:
        """See `Tracker`; the server refuses to change a param that is set, which counts as dropped."""
        self._append("params", {"params": {key: str(value) for key, value in params.items()}})

    @_never_raises
    def set_tags(self, tags: Mapping[str, object]) -> None:
        """See `Tracker`."""
        self._append("tags", {"tags": {key: str(value) for key, value in tags.items()}})

    @_never_raises
    def log_text(self, text: str, *, artifact_path: str) -> None:
        """See `Tracker`; known secrets are removed."""
        self._append_artifact(redact_structure(text).encode(), artifact_path)

    @_never_raises
    def log_file(self, path: Path, *, artifact_path: str) -> None:
        """See `Tracker`; known secrets are removed from texts."""
        blob: bytes | Path = path
        if path.stat().st_size <= _LARGEST_REDACTED_BYTES:
            blob = path.read_bytes()
            with contextlib.suppress(UnicodeDecodeError):  # not a text
                blob = redact_structure(blob.decode()).encode()
        self._append_artifact(blob, artifact_path)

    def _append_artifact(self, blob: bytes | Path, artifact_path: str) -> None:
        folder, _, name = artifact_path.rpartition("/")
        self._append("artifact", {"folder": folder}, blob, name)

    @_never_raises
    def log_dataset(self, uri: str, *, name: str, digest: str, context: str) -> None:
        """See `Tracker`; the server keeps 36 characters of a digest, the tag `sha256` all of it."""
        self._append("dataset", {"uri": uri, "name": name, "digest": digest, "context": context})

    @_never_raises
    def log_checkpoint(self, uri: str, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`; creates an external logged model with the tag `checkpoint_uri`."""
        self._append("checkpoint", {"uri": uri, "step": int(step), "metrics": _numbers(metrics)})

    @_never_raises
    def log_kept_checkpoints(self, uris: Sequence[str], step: int) -> None:
        """See `Tracker`; the logged models of the others lose the tag `checkpoint_uri`."""
        self._append("kept_checkpoints", {"uris": list(uris), "step": int(step)})

    @_never_raises
    def log_model_folder(
        self,
        folder: Path,
        *,
        name: str,
        step: int,
        metrics: Mapping[str, float],
        registered_name: str | None = None,
        aliases: Sequence[str] = (),
    ) -> None:
        """See `Tracker`."""
        fields = {"name": name, "step": int(step), "metrics": _numbers(metrics)}
        registry = {"registered_name": registered_name, "aliases": list(aliases)}
        self._append("model", fields | registry, folder, "model")

    @_never_raises
    def set_status(self, status: Literal["RUNNING"] | RunStatus) -> None:
        """Set the status of the run."""
        self._append("status", {"status": status})

    def pending(self) -> bytes:
        """See `Tracker`."""
        return self._spools.pending()

    def close(self, status: RunStatus | None = None, timeout_seconds: float = 60.0) -> bool:
        """See `Tracker`."""
        if self._last_step > self._health_step:
            self._append("metrics", {"step": self._last_step, "metrics": self._health()})
        if status is not None:
            self.set_status(status)
        deadline = time.monotonic() + timeout_seconds
        self._files_shipper.end_when_sent()  # beside the records
        recorded = self._shipper.finish(timeout_seconds)
        arrived = self._files_shipper.finish(max(0.0, deadline - time.monotonic()))
        spools = self._spools
        if not recorded:
            logger.warning(
                "%d bytes of tracking did not reach the server; the next command sends them from %s.",
                spools.pending_bytes, spools.folder,
            )  # fmt: skip
        elif not arrived:
            logger.warning(
                "The run is recorded; %d bytes of its files are still on their way to the server. The next "
                "command goes on sending them from %s.",
                spools.pending_bytes, spools.folder,
            )  # fmt: skip
        return recorded and arrived


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def open_tracker(
    tracking_uri: str,
    identity: RunIdentity,
    spool_folder: Path,
    *,
    role: Role = "driver",
    pending: bytes | None = None,
    resume_step: int | None = None,
    before_first_send: Callable[[], None] | None = None,
) -> MlflowTracker:
    """Return a tracker of the one MLflow run of a key, whether it is new or resumed.

    Drivers and workers may have the run open at the same time, each with its own spool folder. Only a driver
    creates the run, renews its heartbeat and marks it RUNNING; the driver's `close` sets the final status. A
    worker's entries wait until the run exists. Entries that a spool folder already holds are sent first.

    Args:
        tracking_uri: http(s), with or without user and password, or an absolute sqlite path.
        identity: experiment, key and name of the run.
        spool_folder: local folder for this role alone, below the state folder that `send_unsent` searches.
        role: process that tracks: the driver or a worker.
        pending: result of `Tracker.pending` in the checkpoint that the run resumes from.
        resume_step: step of that checkpoint (0 to start anew): unsent entries of later steps are dropped.
        before_first_send: called by the sending thread before it sends; must not raise.

    Raises:
        ValueError: a tracking URI that other processes would understand differently.
    """
    tracking_uri = use_credentials(tracking_uri)
    spools = _open_spools(spool_folder)
    write_identity(spools.folder, identity, tracking_uri)
    if pending:
        spools.adopt(pending)
    if resume_step is not None:
        spools.supersede(resume_step)
    shipper = Shipper(
        spools.records,
        tracking_uri,
        identity,
        role=role,
        resume_step=resume_step,
        before_first_send=before_first_send,
    )
    files_shipper = Shipper(spools.files, tracking_uri, identity, role="files", leader=shipper)
    # A driver and a worker count steps side by side: a shared name would have two points per step.
    prefix = "tracker" if role == "worker" else f"tracker/{role}"
    tracker = MlflowTracker(spools, shipper, files_shipper, prefix)
    if role == "driver":
        tracker.set_tags(driver_tags())
        tracker.set_status("RUNNING")
    shipper.start()
    files_shipper.start()
    return tracker


def _open_spools(folder: Path) -> SpoolPair:
    """Open the folder's spools; a new folder's beside it if a process still holds them."""
    try:
        return SpoolPair(folder)
    except SpoolInUseError as error:
        sibling = folder.with_name(f"{folder.name}-{os.getpid()}-{time.time_ns()}")
        logger.warning("%s; tracking uses %s", error, sibling)
        return SpoolPair(sibling)
