"""Folder for local state."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Return the folder for keys, logs, spools and local data.

    It is $CHARMNET_STATE, else `charmnet` in the XDG state folder (~/.local/state).
    """
    chosen = os.environ.get("CHARMNET_STATE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "charmnet"
