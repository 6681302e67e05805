"""Waiting for a store that does not answer: outages pass, and nothing that waited is to blame for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from charmnet.errors import StorageError
from pipelines.runtime.storage import MissingError

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_MISSING_SECONDS = 15.0
"""What is gone is asked for so long, since a store that is just starting may not know all it has."""


def retry_storage(
    action: Callable[[], T], timeout_seconds: float, tell: Callable[[str], object] | None = None
) -> T:
    """What an action on storage gives, tried again with growing pauses while the store does not answer.

    Args:
        timeout_seconds: how long at most; a file that is gone is waited for 15 s at most.
        tell: is told that there is waiting, once, and for what.

    Raises:
        StorageError: the last try's, when patience ends. Other errors pass through at once.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except StorageError as error:
            missing = isinstance(error, MissingError)
            limit = min(timeout_seconds, _MISSING_SECONDS) if missing else timeout_seconds
            if time.monotonic() + pause - started > limit:
                raise
            if tell is not None and pause == _FIRST_PAUSE_SECONDS:
                tell(f"waiting: {error}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
