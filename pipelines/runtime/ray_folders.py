"""Folders that Ray's processes work in: private, with a path short enough for sockets, removed at the end.

The path of a socket may have 107 bytes, of which Ray and Python's multiprocessing take some seventy beneath
the temporary folder.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from charmnet.errors import ClusterError, in_words

MAX_SOCKET_BYTES = 107
_PREFIX = "charmnet-ray-"
_LONGEST_BENEATH = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/dash_SubprocessModule"
_MULTIPROCESSING_BENEATH = "/pymp-00000000/listener-00000000"
_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a folder that only this user may enter is made there
_REMOVALS = 20
_REMOVAL_SECONDS = 0.1


def temporary_folder() -> str:
    """Return the folder that Ray is told to work in: `$RAY_TMPDIR`, else `$TMPDIR`, else /tmp."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or _FOLDERS[0]


def room_beneath(folder: str) -> int:
    """Return how many bytes are left of a socket's path beneath a folder; negative where it is too long."""
    longest = max(len(_LONGEST_BENEATH), len(_MULTIPROCESSING_BENEATH))
    return MAX_SOCKET_BYTES - len(os.fsencode(folder)) - longest


def room_for_sockets() -> int:
    """Return `room_beneath` the folder that a Ray which a command starts would make for itself."""
    return room_beneath(str(Path(temporary_folder(), f"{_PREFIX}00000000")))


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


def private_folder(parent: str | None = None) -> str:
    """Make a folder that only this user may enter, in the temporary folder where no other is named."""
    try:
        if parent is not None:
            Path(parent).mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    except OSError as error:
        raise ClusterError(
            f"no folder for Ray's files can be made in {parent or 'the temporary folder'} "
            f"({in_words(error)}); set TMPDIR (or RAY_TMPDIR) to a folder that can be written"
        ) from error


def remove_folder(folder: str) -> None:
    """Remove a folder that processes which are just being killed may still write to."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(_REMOVAL_SECONDS)
