"""The tracker behind which stands MLflow: every call appends to a spool, and a thread sends what is in it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import numpy as np

from pipelines.runtime.redaction import redact
from pipelines.tracking.runs import RunIdentity, driver_tags
from pipelines.tracking.server import use_credentials
from pipelines.tracking.shipper import Role, Shipper
from pipelines.tracking.spool import Spool, SpoolInUseError
from pipelines.tracking.tracker import RunStatus, Tracker

logger = logging.getLogger(__name__)

IDENTITY_NAME = "run.json"
_VITALS_SECONDS = 30.0
_LARGEST_REDACTED_BYTES = 16 << 20

Parameters = ParamSpec("Parameters")


def _never_raises(
    log: Callable[Concatenate[MlflowTracker, Parameters], None],
) -> Callable[Concatenate[MlflowTracker, Parameters], None]:
    """A method whose failure is reported and counted: a record must not end what it records."""

    @wraps(log)
    def guarded(self: MlflowTracker, *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            log(self, *args, **kwargs)
        except Exception as error:
            logger.debug("%s failed", log.__name__, exc_info=True)
            self.refuse(f"{log.__name__}: {type(error).__name__}: {error}")

    return guarded


class MlflowTracker(Tracker):
    """See `open_tracker`."""

    def __init__(self, spool: Spool, shipper: Shipper, vitals_prefix: str) -> None:
        self._spool = spool
        self._shipper = shipper
        self._vitals_prefix = vitals_prefix
        self._last_step = -1
        self._vitals_step = -1
        self._vitals_due = time.monotonic() + _VITALS_SECONDS

    @property
    def run_id(self) -> str | None:
        """The server's id of the run; None until the server has been reached."""
        return self._shipper.run_id

    def refuse(self, reason: str) -> None:
        """Counts something that was given to the tracker and cannot be recorded."""
        self._spool.count_dropped(1, reason)

    @property
    def page(self) -> str | None:
        """See `Tracker`."""
        return self._shipper.page

    def _append(
        self, op: str, fields: Mapping[str, Any], blob: bytes | Path | None = None, name: str = "blob"
    ) -> None:
        entry = {"op": op, "time": time.time_ns() // 1_000_000, **fields}
        self._spool.append(entry, blob, name)

    @_never_raises
    def log_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        """See `Tracker`. What the spool holds and dropped goes along now and then."""
        values = _numbers(metrics)
        if step is None:
            self._append("metrics", {"step": int(time.time()), "by_clock": True, "metrics": values})
            return
        self._last_step = int(step)
        if time.monotonic() >= self._vitals_due and self._last_step > self._vitals_step:
            values |= self._vitals()
        self._append("metrics", {"step": self._last_step, "metrics": values})

    def _vitals(self) -> dict[str, float]:
        self._vitals_due = time.monotonic() + _VITALS_SECONDS
        self._vitals_step = self._last_step
        return {
            f"{self._vitals_prefix}/pending_bytes": float(self._spool.pending_bytes),
            f"{self._vitals_prefix}/dropped": float(self._spool.dropped),
        }

    @_never_raises
    def log_image(self, image: np.ndarray, key: str, step: int) -> None:
        """See `Tracker`. Spooled as it is: encoding takes time that the sending thread has."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image {key!r} is {image.dtype}{image.shape}, expected uint8 [H,W,3]")
        pixels = np.ascontiguousarray(image).tobytes()
        self._append("image", {"key": key, "step": int(step), "size": image.shape[:2]}, pixels)

    @_never_raises
    def log_params(self, params: Mapping[str, object]) -> None:
        """See `Tracker`. The server refuses to change a param once it is set; that counts as dropped."""
        self._append("params", {"params": {key: str(value) for key, value in params.items()}})

    @_never_raises
    def set_tags(self, tags: Mapping[str, object]) -> None:
        """See `Tracker`."""
        self._append("tags", {"tags": {key: str(value) for key, value in tags.items()}})

    @_never_raises
    def log_text(self, text: str, artifact_path: str) -> None:
        """See `Tracker`. Known secrets are taken out."""
        self._append_artifact(redact(text).encode(), artifact_path)

    @_never_raises
    def log_file(self, path: Path, artifact_path: str) -> None:
        """See `Tracker`. Known secrets are taken out of texts."""
        blob: bytes | Path = path
        if path.stat().st_size <= _LARGEST_REDACTED_BYTES:
            blob = path.read_bytes()
            with contextlib.suppress(UnicodeDecodeError):  # not a text
                blob = redact(blob.decode()).encode()
        self._append_artifact(blob, artifact_path)

    def _append_artifact(self, blob: bytes | Path, artifact_path: str) -> None:
        folder, _, name = artifact_path.rpartition("/")
        self._append("artifact", {"folder": folder}, blob, name)

    @_never_raises
    def log_dataset(self, uri: str, name: str, digest: str, context: str) -> None:
        """See `Tracker`. The server takes 36 characters of a digest; the tag `sha256` has all of it."""
        self._append("dataset", {"uri": uri, "name": name, "digest": digest, "context": context})

    @_never_raises
    def log_checkpoint(self, uri: str, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`. Becomes an external logged model with the tag `checkpoint_uri`."""
        self._append("checkpoint", {"uri": uri, "step": int(step), "metrics": _numbers(metrics)})

    @_never_raises
    def log_kept_checkpoints(self, uris: Sequence[str], step: int) -> None:
        """See `Tracker`. The logged models of the others lose the tag `checkpoint_uri`."""
        self._append("kept_checkpoints", {"uris": list(uris), "step": int(step)})

    @_never_raises
    def log_model_folder(
        self,
        folder: Path,
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
        """How the run stands."""
        self._append("status", {"status": status})

    def pending(self) -> bytes:
        """See `Tracker`."""
        return self._spool.pending()

    def close(self, status: RunStatus | None = None, timeout_seconds: float = 60.0) -> bool:
        """See `Tracker`."""
        if self._last_step > self._vitals_step:
            self._append("metrics", {"step": self._last_step, "metrics": self._vitals()})
        if status is not None:
            self.set_status(status)
        arrived = self._shipper.finish(timeout_seconds)
        if not arrived:
            logger.warning(
                "%d bytes of tracking did not reach the server; the next command sends them from %s.",
                self._spool.pending_bytes, self._spool.folder,
            )  # fmt: skip
        return arrived


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def open_tracker(
    tracking_uri: str,
    experiment: str,
    run_key: str,
    run_name: str,
    spool_folder: Path,
    *,
    role: Role = "driver",
    pending: bytes | None = None,
    resume_step: int | None = None,
    first: Callable[[], None] | None = None,
) -> MlflowTracker:
    """A tracker of the one MLflow run of a key, new or taken up again.

    Drivers and workers may have the run open at the same time, each with its own spool folder. Only a driver
    makes the run, shows signs of life and marks it RUNNING; its `close` sets the final status. A worker's
    entries wait until the run exists. What a spool folder still holds is sent first.

    Args:
        tracking_uri: http(s), with or without user and password, or an absolute sqlite path.
        spool_folder: a local folder that is this role's alone; put it under the state folder that
            `send_unsent` goes through.
        pending: what `Tracker.pending` gave to the checkpoint that the run goes on from.
        resume_step: the step of that checkpoint (0 to begin anew): unsent entries of later steps are dropped.
        first: what the sending thread does before it sends; raises nothing.

    Raises:
        ValueError: a tracking URI that other processes would understand differently.
    """
    tracking_uri = use_credentials(tracking_uri)
    identity = RunIdentity(experiment, run_key, run_name)
    spool = _open_spool(spool_folder)
    write_identity(spool.folder, identity, tracking_uri)
    if pending:
        spool.adopt(pending)
    if resume_step is not None:
        spool.supersede(resume_step)
    shipper = Shipper(spool, tracking_uri, identity, role, resume_step, first)
    # A driver and a worker count steps side by side: a shared name would have two points a step.
    tracker = MlflowTracker(spool, shipper, "tracker" if role == "worker" else f"tracker/{role}")
    if role == "driver":
        tracker.set_tags(driver_tags())
        tracker.set_status("RUNNING")
    shipper.start()
    return tracker


def _open_spool(folder: Path) -> Spool:
    """The folder's spool; a sibling's where the folder is still held by a process that is about to end."""
    try:
        return Spool(folder)
    except SpoolInUseError as error:
        sibling = folder.with_name(f"{folder.name}-{os.getpid()}-{time.time_ns()}")
        logger.warning("%s; tracking goes through %s", error, sibling)
        return Spool(sibling)


def write_identity(spool_folder: Path, identity: RunIdentity, tracking_uri: str) -> None:
    """Notes beside a spool which run it belongs to, for `send_unsent`."""
    fields = {**identity.__dict__, "tracking_uri": tracking_uri}
    try:
        complete = spool_folder / f".{IDENTITY_NAME}"
        complete.write_text(json.dumps(fields))
        complete.replace(spool_folder / IDENTITY_NAME)
    except OSError as error:
        logger.error(
            "%s was not written (%s): what is left in this spool will not be found.", spool_folder, error
        )


def read_identity(spool_folder: Path) -> tuple[RunIdentity, str]:
    """The run and the tracking URI of a spool.

    Raises:
        OSError, ValueError: there is none, or it is unreadable.
    """
    try:
        fields = json.loads((spool_folder / IDENTITY_NAME).read_text())
        tracking_uri = fields.pop("tracking_uri")
        identity = RunIdentity(**fields)
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not as `write_identity` wrote it ({type(error).__name__}: {error})") from error
    if not all(isinstance(value, str) for value in (tracking_uri, *fields.values())):
        raise ValueError("not as `write_identity` wrote it: expected texts")
    return identity, tracking_uri
