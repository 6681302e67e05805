"""The thread that carries a spool's entries to the server, at its own pace."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pipelines.runtime.redaction import redact
from pipelines.tracking.run_writer import METRICS_PER_REQUEST, RunWriter
from pipelines.tracking.runs import (
    HEARTBEAT_SECONDS,
    RunIdentity,
    create_run,
    experiment_id_of,
    find_runs,
    heartbeat_tags,
)
from pipelines.tracking.server import connect, is_transient, run_link
from pipelines.tracking.spool import Entry, Spool

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

Role = Literal["driver", "worker", "leftover"]
"""A driver makes the run and shows signs of life; a worker waits for the run; a leftover is sent after its
owner's death, and a run that has to be made for it counts as killed."""

FLUSH_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
_ENTRIES_PER_READ = 2000
_LAST_REQUEST_SECONDS = 1.0
UNREACHABLE_SECONDS = 15.0


class RunMissingError(OSError):
    """The driver has not made the run yet."""


class Shipper(threading.Thread):
    """Sends until `finish`; ends when the spool is empty, or when the time that `finish` allows is over.

    Args:
        resume_step: the step of the checkpoint that the run goes on from, if it does.
        first: what this thread does before all else; raises nothing.
    """

    def __init__(
        self,
        spool: Spool,
        tracking_uri: str,
        identity: RunIdentity,
        role: Role,
        resume_step: int | None = None,
        first: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(name="tracking-shipper", daemon=True)
        self._spool = spool
        self._tracking_uri = tracking_uri
        self._identity = identity
        self._role = role
        self._resume_step = resume_step
        self._first = first
        self._writer: RunWriter | None = None
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._failures = 0
        self._heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
        self.run_id: str | None = None
        self.page: str | None = None

    def finish(self, timeout_seconds: float) -> bool:
        """Sends the rest; whether all of it was sent in time. The spool is given free in either case.

        A server that is slow gets all of the time, one that does not answer `UNREACHABLE_SECONDS` of it.
        """
        self._closing.set()
        self.join(min(timeout_seconds, UNREACHABLE_SECONDS))
        if not self._failures:
            self.join(max(0.0, timeout_seconds - UNREACHABLE_SECONDS))
        self._abandoned.set()
        self.join(_LAST_REQUEST_SECONDS)
        return not self.is_alive() and self._spool.drained

    def run(self) -> None:
        """The thread's body."""
        try:
            if self._first:
                self._first()
            while not self._abandoned.is_set():
                last = self._closing.is_set()  # asked before reading: nothing comes after it
                try:
                    sent = self._ship()
                except Exception as error:
                    self._wait_after(error)
                    continue
                self._note_recovery()
                if not sent and last:
                    break
                self._closing.wait(0 if sent else FLUSH_SECONDS)
        finally:
            self._spool.close()

    def _ship(self) -> bool:
        """One round; whether there was anything to send."""
        entries = self._spool.read(_ENTRIES_PER_READ)
        if self._writer is None and self._role == "worker" and not entries:
            return False  # MLflow's client takes more than a second of a core to load
        if self._writer is None:
            self._writer = self._connect(entries)
        if self._role == "driver" and time.monotonic() >= self._heartbeat_due:
            self._heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
            self._writer.set_tags(heartbeat_tags())
        for group in _groups(entries):
            self._write(self._writer, group)
            self._spool.acknowledge(group)
            if self._abandoned.is_set():
                break
        return bool(entries)

    @cached_property
    def _client(self) -> MlflowClient:
        """Made by this thread: loading it should keep nobody waiting."""
        return connect(self._tracking_uri)

    def _connect(self, entries: list[Entry]) -> RunWriter:
        experiment_id = experiment_id_of(self._client, self._identity.experiment)
        runs = find_runs(self._client, experiment_id, self._identity.run_key)
        if not runs and self._role == "worker":
            raise RunMissingError(f"run {self._identity.run_key!r} has not been made by its driver yet")
        # A server that was away when the run began is told when that was.
        begun = next((entry.data.get("time") for entry in entries if entry.data), None)
        run = runs[0] if runs else create_run(self._client, experiment_id, self._identity, begun)
        if not runs and self._role == "leftover":
            self._client.set_terminated(run.info.run_id, "KILLED")
        writer = RunWriter(self._client, run, self._spool.folder, self._reject)
        if self._resume_step is not None:
            writer.note_rerun(self._resume_step)
            self._resume_step = None
        self.page = run_link(self._client.tracking_uri, experiment_id, writer.run_id)
        self.run_id = writer.run_id
        return writer

    def _write(self, writer: RunWriter, group: list[Entry]) -> None:
        data = [entry.data for entry in group if entry.data is not None]
        if not data:
            return
        try:
            writer.write(data)
        except Exception as error:
            if is_transient(error):
                raise
            writer.require_active_run()
            logger.exception("Tracking cannot send %s", [entry["op"] for entry in data])
            self._spool.count_dropped(len(data), str(error))

    def _reject(self, reason: str) -> None:
        self._spool.count_dropped(1, reason)

    def _wait_after(self, error: Exception) -> None:
        """Waits longer after each failure; while closing, with a patience that suits a short time limit."""
        self._failures += 1
        if self._failures == 2:  # a single hiccup is no news
            logger.warning("Tracking waits for the server; nothing is lost meanwhile: %s", redact(str(error)))
        longest = FIRST_BACKOFF_SECONDS if self._closing.is_set() else LONGEST_BACKOFF_SECONDS
        seconds = min(FIRST_BACKOFF_SECONDS * 2 ** min(self._failures - 1, 10), longest)
        self._writer = None  # the run itself may have changed
        waiting = self._abandoned if self._closing.is_set() else self._closing
        waiting.wait(seconds * random.uniform(0.75, 1.0))

    def _note_recovery(self) -> None:
        if self._failures > 1:
            logger.warning("Tracking reaches the server again.")
        self._failures = 0


def _groups(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Entries in order, cut so that metrics make full requests and everything else goes alone."""
    group: list[Entry] = []
    metrics = 0
    for entry in entries:
        is_metrics = entry.data is None or entry.data["op"] == "metrics"
        size = len(entry.data["metrics"]) if is_metrics and entry.data else 0
        if group and (not is_metrics or metrics + size > METRICS_PER_REQUEST):
            yield group
            group, metrics = [], 0
        group.append(entry)
        metrics += size
        if not is_metrics:
            yield group
            group = []
    if group:
        yield group
