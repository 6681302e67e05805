"""Sending the spools of earlier processes, which ended before the server had everything."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.tracking.identity import IDENTITY_NAME, SpoolOwner, read_identity
from pipelines.tracking.server import use_credentials
from pipelines.tracking.shipper import Shipper
from pipelines.tracking.spool import SpoolInUseError
from pipelines.tracking.spool_pair import SpoolPair

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 600.0


@dataclass
class UnsentSpools:
    """Spool folders that `send_unsent` found."""

    sent: list[Path] = field(default_factory=list)
    """Folders whose entries were all sent, and which were deleted."""

    kept: list[Path] = field(default_factory=list)
    """Folders that still hold records."""

    kept_run_keys: set[str] = field(default_factory=set)
    """Runs that these records belong to, where that is known."""

    on_their_way: list[Path] = field(default_factory=list)
    """Folders whose records were sent, and which still hold files."""

    @property
    def message(self) -> str | None:
        """What a person has to know of folders that still hold records."""
        if not self.kept:
            return None
        runs = len(self.kept_run_keys)
        of = f"{runs} earlier runs have" if runs > 1 else "An earlier run has"
        return f"{of} records that cannot be sent to MLflow yet; a later command sends them."


def send_unsent(
    state_folder: Path,
    tracking_uri: str,
    *,
    skip_run_key: str | None = None,
    timeout_seconds: float = 30.0,
    wait_for_files: bool = True,
) -> UnsentSpools:
    """Send every spool below a folder that belongs to this server and to no live process.

    Call it at the start of a command, before `close_orphans`. Problems of a spool or of the server are logged
    and raise nothing.

    Args:
        state_folder: folder to search.
        tracking_uri: address of the server, with or without user and password.
        skip_run_key: key of the run that the command itself resumes; its own tracker sends what is left.
        timeout_seconds: time limit for all spools together.
        wait_for_files: without it, files (pictures and models) are sent beside the command, one spool after
            the other, for as long as its process lives.
    """
    tracking_uri = use_credentials(tracking_uri)
    deadline = time.monotonic() + timeout_seconds
    found = UnsentSpools()
    later: list[tuple[Path, SpoolOwner]] = []
    for folder, owner in _spools(state_folder, found):
        if owner.tracking_uri != tracking_uri or owner.run_key == skip_run_key:
            continue
        try:
            spools = SpoolPair(folder)
        except SpoolInUseError:
            continue  # its tracker is alive, or another command sends it
        recorded = _send(spools, tracking_uri, owner, deadline, wait_for_files=wait_for_files)
        if recorded and spools.files.drained:
            shutil.rmtree(folder, ignore_errors=True)
            found.sent.append(folder)
        elif recorded:
            found.on_their_way.append(folder)
            later.append((folder, owner))
        else:
            found.kept.append(folder)
            found.kept_run_keys.add(owner.run_key)
    if later and not wait_for_files:
        _FilesInBackground(later).start()
    return found


def _send(
    spools: SpoolPair, tracking_uri: str, owner: SpoolOwner, deadline: float, *, wait_for_files: bool
) -> bool:
    """Send records, and files where these are waited for; tell whether all records were sent."""
    records = Shipper(spools.records, tracking_uri, owner, role="recovery")
    records.start()
    records.end_when_sent()
    if wait_for_files:
        files = Shipper(spools.files, tracking_uri, owner, role="files", leader=records)
        files.start()
        files.end_when_sent()
    else:
        spools.files.close()
    recorded = records.finish(max(0.0, deadline - time.monotonic()))
    if wait_for_files:
        files.finish(max(0.0, deadline - time.monotonic()))
    return recorded


def _spools(state_folder: Path, found: UnsentSpools) -> Iterator[tuple[Path, SpoolOwner]]:
    """Yield the folders of spools and whose they are; an unreadable one is logged and kept."""
    for identity_file in sorted(state_folder.rglob(IDENTITY_NAME)):
        folder = identity_file.parent
        try:
            yield folder, read_identity(folder)
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be sent: %s", folder, error)
            found.kept.append(folder)


class _FilesInBackground(threading.Thread):
    """Thread that sends the files of spools whose records were sent; it ends with its process at the latest.

    Args:
        spools: their folders, and the runs that they belong to.
    """

    def __init__(self, spools: list[tuple[Path, SpoolOwner]]) -> None:
        super().__init__(name="tracking-earlier-files", daemon=True)
        self._waiting = spools

    def run(self) -> None:
        """Send until nothing is left that the server takes; where it is away, try again later."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while self._waiting:
            self._waiting = [spool for spool in self._waiting if not self._send(*spool)]
            if self._waiting:
                time.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _send(self, folder: Path, owner: SpoolOwner) -> bool:
        """Send a spool's files; tell whether this process has nothing more to do for it."""
        try:
            spools = SpoolPair(folder)
        except SpoolInUseError:
            return True  # another process sends it
        shipper = Shipper(spools.files, owner.tracking_uri, owner, role="files")
        shipper.start()
        arrived = shipper.finish(threading.TIMEOUT_MAX / 2)
        spools.records.close()
        if arrived and spools.records.drained:
            shutil.rmtree(folder, ignore_errors=True)
        return arrived or shipper.refused
