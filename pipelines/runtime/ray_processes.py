"""Ray's processes on this machine: their groups, their signals, and their end with this process.

A batch system ends a job with a signal to the process group, in which Ray's processes would be ended before
the run has saved a checkpoint.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.runtime.ray_folders import private_folder, remove_folder, short_folder, temporary_folder

if TYPE_CHECKING:
    import psutil

_starting = False


class OwnRay:
    """Folders and processes of a Ray that this process starts: none is left when it ends."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._processes: list[psutil.Process] = []
        chosen = temporary_folder()
        self.folder = private_folder(chosen)
        """Folder that Ray works in."""
        self._temporary = self.folder if chosen == tempfile.gettempdir() else private_folder()
        self.variables = {
            "RAY_TMPDIR": short_folder(self.folder),
            "TMPDIR": short_folder(self._temporary),  # of Python's multiprocessing in Ray's processes
            "TORCHINDUCTOR_CACHE_DIR": _compiler_cache(),
        }
        """Environment variables of Ray's processes."""
        atexit.register(self.end)  # before Ray's own, which was registered when it was imported

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Inside, the processes that are started are Ray's; they end at once where that fails."""
        import psutil  # noqa: PLC0415 - comes with Ray

        before = {child.pid for child in psutil.Process().children()}
        try:
            with groups_of_their_own(), signals_kept():
                yield
            _end_by_force()
        finally:
            children = psutil.Process().children()
            self._processes = [c for c in children if c.pid not in before and _leads_its_group(c.pid)]

    def end(self, *, keep_files: bool = False) -> None:
        """End Ray, its processes by force, and remove its folders unless their files are to be looked at."""
        if os.getpid() != self._pid:  # a process that was forked
            return
        groups = [process.pid for process in self._processes if process.is_running()]
        with contextlib.suppress(Exception):  # it may be broken
            sys.modules["ray"].shutdown()
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for folder in () if keep_files else {self.folder, self._temporary}:
            remove_folder(folder)
        atexit.unregister(self.end)  # last: a signal may interrupt this


def _end_by_force() -> None:
    """Have Ray end its processes by SIGKILL at once; it waits a second for each that takes no SIGTERM."""
    from ray._private import worker  # noqa: PLC0415 - takes a second to load

    node: Any = worker._global_node  # noqa: SLF001 - what Ray itself ends
    for info in chain.from_iterable(node.all_processes.values()) if node else ():
        info.process.terminate = info.process.kill


def _compiler_cache() -> str:
    """Return the folder of torch's compiler, which is kept: this process's."""
    chosen = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return chosen or str(Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}")


def _leads_its_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


@contextmanager
def groups_of_their_own() -> Iterator[None]:
    """Inside, the processes that Ray starts leave this process's group, and so do those that they start.

    They take no SIGTERM either, which some service managers send to every process.

    Where Python forks to run a function before the program, as Ray has it do, it calls `_leave_group`.
    """
    global _starting  # noqa: PLW0603 - hooks of forks cannot be taken back
    _starting = True
    try:
        yield
    finally:
        _starting = False


def _leave_group() -> None:
    if _starting:
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


os.register_at_fork(after_in_child=_leave_group)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Inside, Ray is started or joined, and leaves SIGTERM to whoever handles it already.

    Its own handlers know nothing of what this process holds: Python's exits at once, and that of its C++
    library, which is put before any other, prints stacks and aborts the process three seconds later.
    """
    from ray._private import utils  # noqa: PLC0415 - takes a second to load

    own = utils.set_sigterm_handler
    in_main_thread = threading.current_thread() is threading.main_thread()
    handled = in_main_thread and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if handled:
        utils.set_sigterm_handler = _nothing
    try:
        yield
    finally:
        utils.set_sigterm_handler = own
        if handled:
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # before that of the library


def _nothing(_: object) -> None:
    """Set no handler."""
