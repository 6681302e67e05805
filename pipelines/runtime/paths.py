"""Folders for local state."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Where services keep data, logs and keys: $CHARMNET_STATE, else `charmnet` in the XDG state folder."""
    chosen = os.environ.get("CHARMNET_STATE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "charmnet"
