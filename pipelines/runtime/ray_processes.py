"""Surroundings of Ray's processes: a folder short enough for their sockets, and groups of their own.

The path of a socket may have 107 bytes, of which Ray and Python's multiprocessing take some seventy beneath
the temporary folder. A batch system ends a job with a signal to the process group, in which Ray's processes
would be ended before the run has saved a checkpoint.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charmnet.errors import ClusterError

MAX_SOCKET_BYTES = 107
_LONGEST_BENEATH = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/dash_SubprocessModule"
_MULTIPROCESSING_BENEATH = "/pymp-00000000/listener-00000000"
_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a folder that only this user may enter is made there
_JOBS = ("http://", "https://")
_HANDSHAKE_SECONDS = 10.0

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


@contextmanager
def groups_of_their_own() -> Iterator[None]:
    """Inside, the processes that Ray starts leave this process's group, and so do those that they start.

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


os.register_at_fork(after_in_child=_leave_group)


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
