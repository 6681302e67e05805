"""A run's checkpoints: written while training goes on, found whole or not at all.

STORAGE/NAME/checkpoint-000000400/     `charmnet.weights`' files, and what the tracker had not sent

`checkpoint.json` is uploaded last and holds the checksums of the rest: a folder with it is *registered*, one
without is what a killed worker left. Nothing else keeps a list of them, so that there is none to go wrong.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charmnet.errors import WeightsError
from charmnet.methods import Method
from charmnet.weights import CHECKPOINT_FILE, Snapshot, load_into
from pipelines.runtime.storage import Location

SPOOL_FILE = "tracker-spool.bin"

_PREFIX = "checkpoint-"


@dataclass(frozen=True)
class Restored:
    """
    Attributes:
        name: of the checkpoint. metadata: what it was saved with.
        pending: what the tracker had not sent when it was saved.
    """

    name: str
    metadata: dict[str, Any]
    pending: bytes


def checkpoint_name(step: int) -> str:
    """Names sort by step."""
    return f"{_PREFIX}{step:09d}"


def registered_checkpoints(run_folder: Location) -> list[str]:
    """Names of those that were uploaded to their end, oldest first."""
    return [name for name in _folders(run_folder) if (run_folder / name / CHECKPOINT_FILE).exists()]


def _folders(run_folder: Location) -> list[str]:
    return [place.name for place in run_folder.children() if place.name.startswith(_PREFIX)]


def register_checkpoint(run_folder: Location, name: str, snapshot: Snapshot, pending: bytes = b"") -> None:
    """Writes a checkpoint of this name; readers see all of it or nothing.

    Args:
        pending: what the tracker had not sent.
    """
    place = run_folder / name
    (place / CHECKPOINT_FILE).delete()  # of a step that is run again: its files are about to change
    (place / SPOOL_FILE).write_bytes(pending)
    for file, data in snapshot.files():
        (place / file).write_bytes(data)


def restore_newest(run_folder: Location, method: Method, tell: Callable[[str], object]) -> Restored | None:
    """Gives a method the state of the newest checkpoint that is whole; None where none is registered.

    Args:
        tell: is told of those that are torn.

    Raises:
        WeightsError: there are checkpoints, and none of them is whole.
        StorageError: the store does not answer.
    """
    first_problem: WeightsError | None = None
    for name in reversed(registered_checkpoints(run_folder)):
        try:
            return restore(run_folder, name, method)
        except WeightsError as error:
            first_problem = first_problem or error
            tell(f"{name} cannot be used, going on from the one before it: {error}")
    if first_problem is not None:
        raise WeightsError(
            f"{run_folder}: none of the run's checkpoints can be used; remove them to begin anew "
            f"({first_problem})"
        )
    return None


def restore(run_folder: Location, name: str, method: Method) -> Restored:
    """Gives a method the state of a checkpoint.

    Raises:
        WeightsError: it is torn, changed or does not fit. StorageError: the store does not answer.
    """
    place = run_folder / name
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        place.download_folder(folder)
        try:
            metadata = load_into(folder, method)
        except WeightsError as error:
            raise WeightsError(str(error).replace(temporary, str(place))) from error
        spool = folder / SPOOL_FILE
        return Restored(name, metadata, spool.read_bytes() if spool.exists() else b"")


def collect_checkpoints(run_folder: Location, newest: str | None, keep: int) -> list[str]:
    """Removes those before the last `keep`, those that were never registered, and all after `newest`.

    Returns:
        The names of those that stay, oldest first.
    """
    useful = [name for name in registered_checkpoints(run_folder) if newest and name <= newest][-keep:]
    for name in sorted(set(_folders(run_folder)) - set(useful)):
        # Its description first: a removal that is cut off must not leave a torn one behind.
        (run_folder / name / CHECKPOINT_FILE).delete()
        (run_folder / name).delete()
    return useful


def newest_metadata(run_folder: Location) -> tuple[str, dict[str, Any]] | None:
    """(name, metadata) of the newest registered checkpoint, if there is one."""
    names = registered_checkpoints(run_folder)
    if not names:
        return None
    return names[-1], (run_folder / names[-1] / CHECKPOINT_FILE).read_json()["metadata"]


class Uploader:
    """Does uploads in a thread of its own, one after the other, while training goes on."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._waiting: Future[None] | None = None

    def submit(self, upload: Callable[[], None]) -> None:
        """Has something uploaded, and waits for the one before: each holds a copy of the networks.

        Raises:
            StorageError: the upload before failed.
        """
        self.wait()
        self._waiting = self._thread.submit(upload)

    def wait(self) -> None:
        """Returns when all is uploaded; errors as above."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.result()
