"""Checkpoints of a run: written while training goes on, found whole or not at all.

`checkpoint.json` is uploaded last and holds the checksums of the rest: a folder with it is *registered*, one
without is what a killed worker left. No list of them is kept elsewhere, which could disagree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charmnet.averaging import WeightAverage
from charmnet.errors import StorageError, WeightsError
from charmnet.methods import Method
from charmnet.weights import CHECKPOINT_FILE, Snapshot, load_into
from pipelines.runs.run_folder import is_checkpoint_name
from pipelines.runtime.storage import Location

SPOOL_FILE = "tracker-spool.bin"


@dataclass(frozen=True)
class Restored:
    """A checkpoint that a method has taken its state from.

    Attributes:
        name: name of the checkpoint.
        metadata: metadata that it was saved with.
        pending: metrics that the tracker had not sent when it was saved.
    """

    name: str
    metadata: dict[str, Any]
    pending: bytes


@dataclass(frozen=True)
class TrainingState:
    """Everything of a worker that a checkpoint gives its state to.

    Attributes:
        method: networks and optimizers.
        average: moving average of the networks, if the run keeps one.
        worker: rank of the worker.
    """

    method: Method
    average: WeightAverage | None = None
    worker: int = 0


def registered_checkpoints(run_folder: Location) -> list[str]:
    """Return the names of checkpoints that were uploaded to their end, oldest first."""
    return [name for name in _folders(run_folder) if (run_folder / name / CHECKPOINT_FILE).exists()]


def _folders(run_folder: Location) -> list[str]:
    return [path.name for path in run_folder.children() if is_checkpoint_name(path.name)]


def register_checkpoint(run_folder: Location, name: str, snapshot: Snapshot, pending: bytes = b"") -> None:
    """Write a checkpoint of this name; readers see all of it or nothing.

    Args:
        run_folder: folder of the run.
        name: see `checkpoint_name`.
        snapshot: copy of the training state.
        pending: metrics that the tracker had not sent.
    """
    folder = run_folder / name
    (folder / CHECKPOINT_FILE).delete()  # of a step that is run again: its files are about to change
    (folder / SPOOL_FILE).write_bytes(pending)
    for file, data in snapshot.files():
        (folder / file).write_bytes(data)


def restore_newest(
    run_folder: Location, state: TrainingState, notify: Callable[[str], object]
) -> Restored | None:
    """Restore the newest checkpoint that is whole; None where none is registered.

    Args:
        run_folder: folder of the run.
        state: state that the checkpoint is read into.
        notify: called with a message about each that is torn.

    Raises:
        WeightsError: there are checkpoints, and none of them is whole.
        StorageError: the store does not answer.
    """
    first_problem: WeightsError | None = None
    for name in reversed(registered_checkpoints(run_folder)):
        try:
            return restore(run_folder, name, state)
        except WeightsError as error:
            first_problem = first_problem or error
            notify(f"{name} cannot be used, going on from the one before it: {error}")
    if first_problem is not None:
        raise WeightsError(
            f"{run_folder}: none of the run's checkpoints can be used; remove them to begin anew "
            f"({first_problem})"
        )
    return None


def restore(run_folder: Location, name: str, state: TrainingState) -> Restored:
    """Restore a checkpoint.

    Raises:
        WeightsError: it is torn, changed or does not fit.
        StorageError: the store does not answer.
    """
    source = run_folder / name
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source.download_folder(folder)
        try:
            metadata = load_into(folder, state.method, average=state.average, worker=state.worker)
        except WeightsError as error:
            raise WeightsError(str(error).replace(temporary, str(source))) from error
        spool = folder / SPOOL_FILE
        return Restored(name, metadata, spool.read_bytes() if spool.exists() else b"")


def collect_checkpoints(run_folder: Location, newest: str | None, keep: int) -> list[str]:
    """Remove those before the last `keep`, those that were never registered, and all after `newest`.

    Returns:
        The names of those that stay, oldest first.
    """
    useful = [name for name in registered_checkpoints(run_folder) if newest and name <= newest][-keep:]
    for name in sorted(set(_folders(run_folder)) - set(useful)):
        # Its description first: a removal that is cut off must not leave a torn one behind.
        if (run_folder / name / CHECKPOINT_FILE).discard():
            (run_folder / name).discard()
    return useful


def newest_metadata(run_folder: Location) -> tuple[str, dict[str, Any]] | None:
    """Return (name, metadata) of the newest checkpoint whose description can be read, if there is one."""
    for name in reversed(registered_checkpoints(run_folder)):
        try:
            metadata: dict[str, Any] = (run_folder / name / CHECKPOINT_FILE).read_json()["metadata"]
        except (StorageError, KeyError, TypeError):
            continue
        return name, metadata
    return None


class Uploader:
    """A thread that uploads one thing after the other while training goes on."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._pending: Future[None] | None = None

    def submit(self, upload: Callable[[], None]) -> None:
        """Start an upload once the one before is done: each holds a copy of the networks.

        Raises:
            StorageError: the upload before failed.
        """
        self.wait()
        self._pending = self._thread.submit(upload)

    def wait(self) -> None:
        """Wait until all is uploaded; errors as above."""
        pending = self._pending
        self._pending = None
        if pending is not None:
            pending.result()
