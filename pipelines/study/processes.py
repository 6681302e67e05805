"""Commands of `charmnet` as processes that run side by side on one cluster."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from charmnet.errors import CharmNetError
from pipelines.runtime.cluster import ClusterCapacity
from pipelines.runtime.signals import EXIT_STOPPED

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 20
_ERROR = "charmnet: error: "
_POLL_SECONDS = 1.0
_C_LIBRARY = ctypes.CDLL(None)  # loaded here: a process that was forked beside threads should not


class CommandFailedError(CharmNetError):
    """A command of the study failed; the message is the command's own."""


class StoppedError(CharmNetError):
    """The study was asked to stop."""


def room(capacity: ClusterCapacity, workers: int) -> int:
    """Return how many runs of so many workers a cluster has room for: one at least.

    A run takes a GPU for each worker where there are any, else a CPU for each and one for its data.
    """
    if capacity.gpus:
        return max(1, min(capacity.gpus // workers, capacity.cpus // 2))
    return max(1, capacity.cpus // (workers + 1))


def models_at_work(capacity: ClusterCapacity, workers: int) -> int:
    """Return how many models may be at work in the room of a run of so many workers."""
    return workers if capacity.gpus else workers + 1


class Processes:
    """Runs commands, as many at a time as there is room for, and stops them when this process is asked to.

    Args:
        variables: environment variables of the commands, beside this process's own.
        show: called with every line of output and the name of the command that it is of.
    """

    def __init__(self, variables: Mapping[str, str], show: Callable[[str, str], None]) -> None:
        self._variables = dict(variables)
        self._show = show
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._lock = threading.RLock()  # a signal's handler may interrupt the thread that holds it
        self._stop = False

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run `charmnet COMMAND ...` to its end.

        Raises:
            StoppedError: it, or the study, was asked to stop.
            CommandFailedError: it failed.
        """
        with self._lock:
            if self._stop:
                raise StoppedError(f"{name}: not begun, since the study was asked to stop")
            process = subprocess.Popen(
                [sys.executable, "-m", "pipelines", *command],
                env={**os.environ, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches it by `stop`, once
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call of the C library, and no lock
            )
            self._running[name] = process
        last: list[str] = []
        try:
            with process:
                assert process.stdout is not None
                for line in process.stdout:
                    last = [*last, line.rstrip()][-_LAST_LINES:]
                    self._show(name, line.rstrip())
            status = process.returncode
        finally:
            with self._lock:
                del self._running[name]
        if status == EXIT_STOPPED or (status and self._stop):
            raise StoppedError(f"{name}: stopped")
        if status:
            raise CommandFailedError(_reason(last, status))

    def stop(self, *_: object) -> None:
        """Ask all running commands to stop, and begin no other."""
        with self._lock:  # none is just being begun
            self._stop = True
            for process in self._running.values():
                process.send_signal(signal.SIGTERM)

    @property
    def stopped(self) -> bool:
        """Whether the study was asked to stop."""
        return self._stop


def side_by_side(
    tasks: Iterable[Callable[[], T]], places: Callable[[], int], stopped: Callable[[], bool]
) -> list[Future[T]]:
    """Call functions in threads, so many at a time as there are places; return their outcomes in order.

    Args:
        tasks: functions to call, in this order.
        places: number of places now; it may change meanwhile.
        stopped: whether no other is to be begun.
    """
    waiting = list(tasks)
    outcomes: list[Future[T]] = []
    with ThreadPoolExecutor(max(1, len(waiting)), thread_name_prefix="study") as pool:
        running: set[Future[T]] = set()
        while running or (waiting and not stopped()):
            while waiting and len(running) < places() and not stopped():
                outcome = pool.submit(waiting.pop(0))
                outcomes.append(outcome)
                running.add(outcome)
            _, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
    return outcomes


def _reason(lines: Sequence[str], status: int) -> str:
    """Return why a command failed: its error, else how it ended and its last line."""
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    if errors:
        return errors[-1]
    ended = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    said = [line for line in lines if line.strip()]
    return f"{ended} after: {said[-1]}" if said else ended


def _end_with_parent() -> None:
    """Have the kernel end this process when the study's is gone, however it ended.

    At once: were it to stop by itself, a study that is started again would meet its run still alive.
    """
    if sys.platform == "linux":
        _C_LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
