"""Right of one process to drive a run: the file `driver.json` in the run's folder, renewed while it lives.

Two drivers of one run would start two worker groups that write the same checkpoints, logs and metrics. The
file names the process that holds the run and counts its heartbeats. Another process of the same machine is
looked up there. One elsewhere is alive if its count changes, and dead if it does not for a while: that needs
no clock that both machines agree on.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial

from charmnet.errors import CharmNetError, StorageError
from pipelines.runs.run_folder import DRIVER_FILE
from pipelines.runtime.cluster import submission_id
from pipelines.runtime.concurrency import in_background
from pipelines.runtime.retry import retry_storage
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import MissingError
from pipelines.tracking.drivers import DriverProcess

HEARTBEAT_SECONDS = 10.0
SILENT_SECONDS = 45.0
"""A driver on another machine counts as dead after so long without a heartbeat."""

_SETTLE_SECONDS = 1.0
"""Two drivers that start at the same moment both write the file; so much later each reads who was last."""
_DYING_SECONDS = 2.0  # a process that was killed is there for a moment
_POLL_SECONDS = 2.0


class RunHeldError(CharmNetError):
    """Another process drives the run."""


@dataclass(frozen=True)
class Holder:
    """Content of the file.

    Attributes:
        token: id of the hold.
        heartbeats: number of heartbeats so far.
        job: id of the job that the process belongs to, if it was submitted as one.
        process: the process.
    """

    token: str
    heartbeats: int
    job: str | None
    process: DriverProcess

    @classmethod
    def current(cls) -> Holder:
        """Return a new hold of this process."""
        return cls(uuid.uuid4().hex, 0, submission_id(), DriverProcess.current())

    @classmethod
    def read(cls, path: Location) -> Holder | None:
        """Return who holds a run; None where nobody does, or the file is no such file."""
        try:
            value = path.read_json()
        except MissingError:
            return None
        try:
            return cls(**{**value, "process": DriverProcess(**value["process"])})
        except (KeyError, TypeError):
            return None

    def __str__(self) -> str:
        began = f"{datetime.fromtimestamp(self.process.started_seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
        job = f", job {self.job}" if self.job else ""
        return f"process {self.process.pid} on {self.process.host} (began {began}{job})"


class DriverLease:
    """Hold of this process on a run; see `acquire`.

    Args:
        run_folder: folder of the run.
        holder: this process, as written to the file.
    """

    def __init__(self, run_folder: Location, holder: Holder) -> None:
        self._run_folder = run_folder
        self._path = run_folder / DRIVER_FILE
        self._holder = holder
        self._acquired = time.monotonic()

    @classmethod
    def acquire(
        cls, run_folder: Location, timeout_seconds: float, notify: Callable[[str], object]
    ) -> DriverLease:
        """Hold a run, unless another process does; call `confirm` before anything is written.

        Args:
            run_folder: folder of the run.
            timeout_seconds: how long the store is waited for.
            notify: called with a line that says what is waited for.

        Raises:
            RunHeldError: another process drives the run; names it.
            StorageError: the store cannot be used.
        """
        path = run_folder / DRIVER_FILE
        read = partial(retry_storage, lambda: Holder.read(path), timeout_seconds, notify)
        other = read()
        if other is not None and not _is_gone(other, read, notify):
            raise _held(run_folder, other)
        holder = Holder.current()
        retry_storage(lambda: path.write_json(asdict(holder)), timeout_seconds, notify)
        return cls(run_folder, holder)

    def confirm(self) -> None:
        """See that no other process took the run at the same moment.

        Raises:
            RunHeldError: one did; names it.
            StorageError: the store cannot be used.
        """
        time.sleep(max(0.0, self._acquired + _SETTLE_SECONDS - time.monotonic()))
        other = self._other()
        if other is not None:
            raise _held(self._run_folder, other)

    def keep(self, on_lost: Callable[[str], object]) -> AbstractContextManager[None]:
        """Inside, renew the hold on a thread.

        Args:
            on_lost: called once, with the reason, if another process takes the run over.
        """
        return in_background(partial(self._renew, on_lost), "driver-lease")

    def release(self) -> None:
        """Give the run free, if this process still holds it, and remove a folder that holds nothing else."""
        try:
            if self._other() is None:
                self._path.discard()
        except StorageError:
            return  # the process will be gone: that frees it, too
        folder = self._run_folder.local_path
        if folder is not None and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def _other(self) -> Holder | None:
        """Return who holds the run instead of this process."""
        holder = Holder.read(self._path)
        return None if holder is None or holder.token == self._holder.token else holder

    def _renew(self, on_lost: Callable[[str], object], ended: threading.Event) -> None:
        beats = 0
        while not ended.wait(HEARTBEAT_SECONDS):
            beats += 1
            try:
                if other := self._other():
                    on_lost(f"{other} took the run over, since this process was not seen for a while")
                    return
                self._path.write_json(asdict(replace(self._holder, heartbeats=beats)))
            except StorageError:
                continue  # a store that is away is away for whoever would take the run over, too


def check_not_held(run_folder: Location) -> None:
    """Check, without waiting, that no other process of this machine drives a run.

    Raises:
        RunHeldError: one does; names it.
        StorageError: the store cannot be used.
    """
    other = Holder.read(run_folder / DRIVER_FILE)
    if other is not None and other.process.is_gone() is False:
        raise _held(run_folder, other)


def _is_gone(other: Holder, read: Callable[[], Holder | None], notify: Callable[[str], object]) -> bool:
    """Tell whether a holder is dead: by its process on this machine, else by its heartbeats.

    Silence is counted in readings: while the store is away, `read` waits and no heartbeat can be written.
    """
    deadline = time.monotonic() + _DYING_SECONDS
    while (gone := other.process.is_gone()) is False and time.monotonic() < deadline:
        time.sleep(0.1)
    if gone is not None:
        return gone
    notify(
        f"waiting up to {SILENT_SECONDS:.0f} s: {other} held the run; if it is alive, it says so meanwhile"
    )
    for _ in range(round(SILENT_SECONDS / _POLL_SECONDS)):
        time.sleep(_POLL_SECONDS)
        now = read()
        if now is None:
            return True
        if now != other:
            return False
    return True


def _held(run_folder: Location, holder: Holder) -> RunHeldError:
    return RunHeldError(
        f"the run {run_folder} is held by {holder}, which is alive; wait until it ends, stop it (Ctrl-C, "
        "SIGTERM or `ray job stop`), or choose another --name"
    )
