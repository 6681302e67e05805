"""Thread that sends a spool's entries to the tracking server."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from pipelines.runtime.redaction import redact
from pipelines.tracking.drivers import HEARTBEAT_SECONDS, heartbeat_tags
from pipelines.tracking.identity import RunIdentity
from pipelines.tracking.server import METRICS_PER_REQUEST, connect, run_link
from pipelines.tracking.spool import Spool, SpoolEntry

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipelines.tracking.run_writer import RunWriter

logger = logging.getLogger(__name__)

Role = Literal["driver", "worker", "recovery", "files"]
"""Task of a shipper: a driver's creates the run and renews its heartbeat; a worker's waits for the run, and
so does one of files; a recovery sends the spool of a process that died, and a run that has to be created for
it counts as KILLED."""

FLUSH_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
UNREACHABLE_SECONDS = 15.0
_ENTRIES_PER_READ = 2000
_LAST_REQUEST_SECONDS = 1.0
_FOLLOW_SECONDS = 0.1
_MOST_HALVINGS = 5
_ENDING_SECONDS = 120.0  # after that nobody waits at a command's end
_JITTER = random.SystemRandom()


class _RunMissingError(OSError):
    """Raised while the driver has not created the run yet."""


class Shipper(threading.Thread):
    """Thread that sends until `finish`, then ends when the spool is empty or the time limit is over.

    Attributes:
        run_id: server's id of the run; None until the server has been reached.
        page: how the run's page is opened; None until the server has been reached.

    Args:
        spool: entries to send; closed when the thread ends.
        tracking_uri: address of the server, without user and password.
        identity: run to send to.
        role: see `Role`.
        resume_step: step of the checkpoint that the run resumes from, if it does.
        before_first_send: called first in the thread; must not raise.
        leader: shipper of the same run's records, which finds the run before this one connects.
    """

    def __init__(
        self,
        spool: Spool,
        tracking_uri: str,
        identity: RunIdentity,
        *,
        role: Role,
        resume_step: int | None = None,
        before_first_send: Callable[[], None] | None = None,
        leader: Shipper | None = None,
    ) -> None:
        super().__init__(name="tracking-files" if role == "files" else "tracking-shipper", daemon=True)
        self._spool = spool
        self._tracking_uri = tracking_uri
        self._identity = identity
        self._role = role
        self._what = "Tracking of files" if role == "files" else "Tracking"
        self._resume_step = resume_step
        self._before_first_send = before_first_send
        self._leader = leader
        self._wanted = threading.Event()
        self._writer: RunWriter | None = None
        self._closing = threading.Event()
        self._closing_since = 0.0
        self._abandoned = threading.Event()
        self._failures = 0
        self._refusal: str | None = None
        self._warned = False
        self._heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
        self.run_id: str | None = None
        self.page: str | None = None

    @property
    def refused(self) -> bool:
        """Whether the server refused what was last sent, until somebody changes something there."""
        return self._refusal is not None

    def find_run(self) -> None:
        """Let the thread find the run, even if there is nothing to send to it."""
        self._wanted.set()

    def end_when_sent(self) -> None:
        """Let the thread end once every entry was sent; no entries may be added from now on."""
        if not self._closing.is_set():
            self._closing_since = time.monotonic()
            self._closing.set()

    def finish(self, timeout_seconds: float) -> bool:
        """Send all remaining entries, then release the spool, whether or not they were sent in time.

        Args:
            timeout_seconds: time limit while the server answers, however slowly; without an answer the
                limit is `UNREACHABLE_SECONDS` if that is less.

        Returns:
            Whether every entry was sent.
        """
        self.end_when_sent()
        deadline = time.monotonic() + timeout_seconds
        self._join_until(min(deadline, self._closing_since + UNREACHABLE_SECONDS))
        if not self._failures:
            self._join_until(deadline)
        self._abandoned.set()
        self.join(_LAST_REQUEST_SECONDS)
        return not self.is_alive() and self._spool.drained

    def _join_until(self, deadline: float) -> None:
        self.join(max(0.0, deadline - time.monotonic()))

    def run(self) -> None:
        """Send entries until `finish` ends the thread."""
        try:
            if self._before_first_send:
                self._before_first_send()
            while not self._abandoned.is_set():
                last = self._closing.is_set()  # read before the spool: after it is set, no entries are added
                try:
                    sent = self._ship()
                except Exception as error:
                    logger.debug("Tracking failed to send", exc_info=True)
                    self._wait_after(error)
                    continue
                self._note_recovery()
                if not sent and last:
                    break
                self._closing.wait(0 if sent else FLUSH_SECONDS)
        finally:
            self._spool.close()

    def _ship(self) -> bool:
        """Send what one read of the spool gives; tell whether that was anything."""
        entries = self._spool.read(_ENTRIES_PER_READ)
        if self._writer is None and self._waits_for_run and not entries and not self._wanted.is_set():
            return False  # without loading MLflow
        if self._writer is None:
            self._follow_leader()
            self._writer = self._connect(entries)
        if self._role == "driver" and time.monotonic() >= self._heartbeat_due:
            self._heartbeat_due = time.monotonic() + HEARTBEAT_SECONDS
            self._writer.set_tags(heartbeat_tags())
        fewer = min(self._failures, _MOST_HALVINGS)  # a request that takes too long is made smaller
        for group in _groups(entries, METRICS_PER_REQUEST >> fewer):
            self._writer.write([entry.data for entry in group if entry.data is not None])
            self._spool.acknowledge(group)
            if self._abandoned.is_set():
                break
        return bool(entries)

    def _follow_leader(self) -> None:
        """Wait until the shipper of the records has found the run: both might make a database's tables.

        Raises:
            _RunMissingError: it has ended without; what kept it keeps this one, too.
        """
        leader = self._leader
        if leader is None:
            return
        leader.find_run()
        while leader.run_id is None and leader.is_alive() and not self._abandoned.is_set():
            self._abandoned.wait(_FOLLOW_SECONDS)
        if leader.run_id is None:
            self._abandoned.set()
            raise _RunMissingError("the thread that sends the records did not find the run")

    @property
    def _waits_for_run(self) -> bool:
        return self._role in ("worker", "files")

    @cached_property
    def _client(self) -> MlflowClient:
        return connect(self._tracking_uri)

    def _connect(self, entries: list[SpoolEntry]) -> RunWriter:
        client = self._client
        from pipelines.tracking import run_writer, runs  # noqa: PLC0415 - they load MLflow

        experiment_id = runs.experiment_id_of(client, self._identity.experiment)
        stored = runs.find_runs(client, experiment_id, self._identity.run_key)
        if not stored and self._waits_for_run:
            raise _RunMissingError(f"run {self._identity.run_key!r} has not been created by its driver yet")
        if stored:
            run = stored[0]
        else:  # a server that was unreachable at the run's start gets the time of the first entry
            start = next((entry.data.get("time") for entry in entries if entry.data), None)
            run = runs.create_run(client, experiment_id, self._identity, start)
            if self._role == "recovery":
                client.set_terminated(run.info.run_id, "KILLED")
        reject = partial(self._spool.count_dropped, 1)
        writer = run_writer.RunWriter(client, run, self._spool.folder, reject, self._abandoned.is_set)
        if self._resume_step is not None:
            writer.note_rerun(self._resume_step)
            self._resume_step = None
        self.page = run_link(client.tracking_uri, experiment_id, writer.run_id)
        self.run_id = writer.run_id
        return writer

    def _wait_after(self, error: Exception) -> None:
        """Wait longer after each failure; when closing began, at most `FIRST_BACKOFF_SECONDS`.

        A refusal is said at once, and not waited for at the end.
        """
        from pipelines.tracking.refusals import refusal_of  # noqa: PLC0415 - it loads MLflow

        self._failures += 1
        refusal = refusal_of(error)
        if refusal is not None and refusal != self._refusal:
            logger.warning(
                "%s is refused by the server: %s. Records are kept in %s until it takes them.",
                self._what, redact(refusal), self._spool.folder,
            )  # fmt: skip
            self._warned = True
        elif refusal is None and self._failures == 2:  # a single failure is not worth a warning
            self._warned = True
            logger.warning(
                "%s waits for the server; nothing is lost meanwhile: %s", self._what, redact(str(error))
            )
        self._refusal = refusal
        if refusal is not None and self._closing.is_set():
            self._abandoned.set()
        ending = self._closing.is_set() and time.monotonic() < self._closing_since + _ENDING_SECONDS
        longest = FIRST_BACKOFF_SECONDS if ending else LONGEST_BACKOFF_SECONDS
        seconds = min(FIRST_BACKOFF_SECONDS * 2 ** min(self._failures - 1, 10), longest)
        self._writer = None  # the run itself may have changed on the server
        waiting = self._abandoned if self._closing.is_set() else self._closing
        waiting.wait(seconds * _JITTER.uniform(0.75, 1.0))

    def _note_recovery(self) -> None:
        if self._warned:
            logger.warning("%s reaches the server again.", self._what)
        self._failures = 0
        self._refusal = None
        self._warned = False


def _groups(entries: list[SpoolEntry], most_metrics: int) -> Iterator[list[SpoolEntry]]:
    """Divide entries, in order, into groups for one request: many metrics, or one entry of another kind."""
    group: list[SpoolEntry] = []
    metrics = 0
    for entry in entries:
        is_metrics = entry.data is None or entry.data["op"] == "metrics"
        size = len(entry.data.get("metrics", ())) if is_metrics and entry.data else 0
        if group and (not is_metrics or metrics + size > most_metrics):
            yield group
            group = []
            metrics = 0
        group.append(entry)
        metrics += size
        if not is_metrics:
            yield group
            group = []
    if group:
        yield group
