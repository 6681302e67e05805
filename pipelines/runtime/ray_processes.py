"""Surroundings of Ray's processes: a folder short enough for their sockets, and groups of their own.

The path of a socket may have 107 bytes, of which Ray and Python's multiprocessing take some seventy beneath
the temporary folder. A batch system ends a job with a signal to the process group, in which Ray's processes
would be ended before the run has saved a checkpoint.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charmnet.errors import ClusterError, in_words

if TYPE_CHECKING:
    import psutil

MAX_SOCKET_BYTES = 107
_LONGEST_BENEATH = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/dash_SubprocessModule"
_MULTIPROCESSING_BENEATH = "/pymp-00000000/listener-00000000"
_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a folder that only this user may enter is made there
_JOBS = ("http://", "https://")
_HANDSHAKE_SECONDS = 10.0
_REMOVALS = 20
_REMOVAL_SECONDS = 0.1

_starting = False


def temporary_folder() -> str:
    """Return the folder that Ray is told to work in: `$RAY_TMPDIR`, else `$TMPDIR`, else /tmp."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or _FOLDERS[0]


def room_beneath(folder: str) -> int:
    """Return how many bytes are left of a socket's path beneath a folder; negative where it is too long."""
    longest = max(len(_LONGEST_BENEATH), len(_MULTIPROCESSING_BENEATH))
    return MAX_SOCKET_BYTES - len(os.fsencode(folder)) - longest


def short_folder(folder: str) -> str:
    """Return a path to a folder that leaves room for sockets: its own, or that of a link to it.

    The link is removed when this process ends.

    Raises:
        ClusterError: there is no folder in which such a link can be made.
    """
    if room_beneath(folder) >= 0:
        return folder
    for base in _FOLDERS:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            private = Path(tempfile.mkdtemp(prefix="ray-", dir=base))  # mode 0700
            link = private / "t"
            link.symlink_to(Path(folder).absolute())
        except OSError:
            continue
        atexit.register(_remove, link)
        return str(link)
    raise ClusterError(
        f"the temporary folder {folder} is {-room_beneath(folder)} bytes too long for Ray's sockets, whose "
        f"paths may have {MAX_SOCKET_BYTES}, and no link to it can be made in {', '.join(_FOLDERS)}; set "
        "RAY_TMPDIR to a folder with a shorter path"
    )


def _remove(link: Path) -> None:
    with contextlib.suppress(OSError):
        link.unlink()
        shutil.rmtree(link.parent, ignore_errors=True)


class OwnRay:
    """Folders and processes of a Ray that this process starts: none is left when it ends."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._processes: list[psutil.Process] = []
        chosen = temporary_folder()
        self.folder = _private_folder(chosen)
        """Folder that Ray works in."""
        self._temporary = self.folder if chosen == tempfile.gettempdir() else _private_folder()
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
        atexit.unregister(self.end)
        groups = [process.pid for process in self._processes if process.is_running()]
        with contextlib.suppress(Exception):  # it may be broken
            sys.modules["ray"].shutdown()
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for folder in () if keep_files else {self.folder, self._temporary}:
            _remove_folder(folder)


def _end_by_force() -> None:
    """Have Ray end its processes by SIGKILL at once; it waits a second for each that takes no SIGTERM."""
    from ray._private import worker  # noqa: PLC0415 - takes a second to load

    node: Any = worker._global_node  # noqa: SLF001 - what Ray itself ends
    for info in chain.from_iterable(node.all_processes.values()) if node else ():
        info.process.terminate = info.process.kill


def _private_folder(parent: str | None = None) -> str:
    """Make a folder that only this user may enter, in the temporary folder where no other is named."""
    try:
        if parent is not None:
            Path(parent).mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix="charmnet-ray-", dir=parent)
    except OSError as error:
        raise ClusterError(
            f"no folder for Ray's files can be made in {parent or 'the temporary folder'} "
            f"({in_words(error)}); set TMPDIR (or RAY_TMPDIR) to a folder that can be written"
        ) from error


def _compiler_cache() -> str:
    """Return the folder of torch's compiler, which is kept: this process's."""
    chosen = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return chosen or str(Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}")


def _leads_its_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _remove_folder(folder: str) -> None:
    """Remove a folder that processes which are just being killed may still write to."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(_REMOVAL_SECONDS)


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


def check_reachable(address: str, timeout_seconds: float) -> bool:
    """Check that a Ray cluster, or at least a server of its protocol, answers at HOST:PORT.

    Ray itself tries for a quarter of an hour where nothing listens, without end where something else does.

    Args:
        address: HOST:PORT or ray://HOST:PORT; others are left to Ray.
        timeout_seconds: of connecting.

    Returns:
        Whether the address was asked.

    Raises:
        ClusterError: the address is that of Ray's jobs, or something else answers there.
        OSError: nothing listens there.
    """
    if address.startswith(_JOBS):
        raise ClusterError(
            f"RAY_ADDRESS={address}: jobs are submitted to this address; to join the cluster give "
            "HOST:6379 of its head, or ray://HOST:10001, or run the command as a job: "
            f"ray job submit --address {address} -- charmnet ..."
        )
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return False
    socket.create_connection((host.strip("[]"), int(port)), timeout_seconds).close()
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True  # its certificates are Ray's to check
    import grpc  # noqa: PLC0415 - Ray's own; it takes a moment to load

    with grpc.insecure_channel(f"{host}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_HANDSHAKE_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise ClusterError(
                f"RAY_ADDRESS={address}: something listens there that is no Ray cluster (no answer in its "
                f"protocol within {_HANDSHAKE_SECONDS:.0f} s); give HOST:6379 of the head, or ray://HOST:10001"
            ) from error
    return True
