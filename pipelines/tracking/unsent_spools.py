"""Sending the spools of earlier processes, which ended before the server had everything."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.tracking.identity import IDENTITY_NAME, read_identity
from pipelines.tracking.server import use_credentials
from pipelines.tracking.shipper import Shipper
from pipelines.tracking.spool import Spool, SpoolInUseError

logger = logging.getLogger(__name__)


@dataclass
class UnsentSpools:
    """Spool folders that `send_unsent` found."""

    sent: list[Path] = field(default_factory=list)
    """Folders whose entries were all sent, and which were deleted."""

    kept: list[Path] = field(default_factory=list)
    """Folders that still hold entries."""

    kept_run_keys: set[str] = field(default_factory=set)
    """Runs that these entries belong to, where that is known."""

    @property
    def message(self) -> str | None:
        """What a person has to know of folders that still hold entries."""
        if not self.kept:
            return None
        runs = len(self.kept_run_keys)
        of = f"{runs} earlier runs have" if runs > 1 else "An earlier run has"
        return f"{of} records that cannot be sent to MLflow yet; a later command sends them."


def send_unsent(
    state_folder: Path, tracking_uri: str, *, skip_run_key: str | None = None, timeout_seconds: float = 30.0
) -> UnsentSpools:
    """Send every spool below a folder that belongs to this server and to no live process.

    Call it at the start of a command, before `close_orphans`. Problems of a spool or of the server are logged
    and raise nothing.

    Args:
        state_folder: folder to search.
        tracking_uri: address of the server, with or without user and password.
        skip_run_key: key of the run that the command itself resumes; its own tracker sends what is left.
        timeout_seconds: time limit for all spools together.
    """
    tracking_uri = use_credentials(tracking_uri)
    deadline = time.monotonic() + timeout_seconds
    spools = UnsentSpools()
    for identity_file in sorted(state_folder.rglob(IDENTITY_NAME)):
        folder = identity_file.parent
        try:
            owner = read_identity(folder)
            if owner.tracking_uri != tracking_uri or owner.run_key == skip_run_key:
                continue
            spool = Spool(folder)
        except SpoolInUseError:
            continue  # its tracker is alive
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be sent: %s", folder, error)
            spools.kept.append(folder)
            continue
        shipper = Shipper(spool, tracking_uri, owner, role="recovery")
        shipper.start()
        if shipper.finish(max(0.0, deadline - time.monotonic())):
            shutil.rmtree(folder, ignore_errors=True)
            spools.sent.append(folder)
        else:
            spools.kept.append(folder)
            spools.kept_run_keys.add(owner.run_key)
    return spools
