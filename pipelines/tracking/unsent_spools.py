"""Sending what earlier commands could not."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.tracking.mlflow_tracker import IDENTITY_NAME, read_identity
from pipelines.tracking.server import use_credentials
from pipelines.tracking.shipper import Shipper
from pipelines.tracking.spool import Spool, SpoolInUseError

logger = logging.getLogger(__name__)


@dataclass
class UnsentSpools:
    """Spool folders: `sent` are empty now and gone, `kept` still hold something."""

    sent: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def send_unsent(
    state_folder: Path, tracking_uri: str, *, skip_run_key: str | None = None, timeout_seconds: float = 30.0
) -> UnsentSpools:
    """Sends every spool under a folder that belongs to this server and to no live process.

    Call it where a command begins, before `close_orphans`. Never raises for what a spool or the server does.

    Args:
        skip_run_key: the run that the command itself is about to go on with; its tracker sends what is left.
    """
    tracking_uri = use_credentials(tracking_uri)
    deadline = time.monotonic() + timeout_seconds
    leftovers = UnsentSpools()
    for identity_file in sorted(state_folder.rglob(IDENTITY_NAME)):
        folder = identity_file.parent
        try:
            identity, its_tracking_uri = read_identity(folder)
            if its_tracking_uri != tracking_uri or identity.run_key == skip_run_key:
                continue
            spool = Spool(folder)
        except SpoolInUseError:
            continue  # its tracker is alive
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s cannot be sent: %s", folder, error)
            leftovers.kept.append(folder)
            continue
        shipper = Shipper(spool, tracking_uri, identity, role="leftover")
        shipper.start()
        if shipper.finish(max(0.0, deadline - time.monotonic())):
            shutil.rmtree(folder, ignore_errors=True)
            leftovers.sent.append(folder)
        else:
            leftovers.kept.append(folder)
    return leftovers
