"""Retrying what is out of reach for a while, and waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from charmnet.errors import CharmNetError, StorageError
from pipelines.runtime.store_errors import MissingError, RefusedError

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_MISSING_SECONDS = 15.0
"""How long a missing file is asked for: a store that is just starting may not know all that it holds."""


class WaitTimeoutError(CharmNetError):
    """A condition did not hold in time."""


def retry_storage(
    action: Callable[[], T], timeout_seconds: float, notify: Callable[[str], object] | None = None
) -> T:
    """Retry an action on storage, with growing pauses, while the store is unreachable.

    Args:
        action: the operation; its result is returned.
        timeout_seconds: how long to retry at most; for a file that is missing 15 s at most.
        notify: called once, with a line that says what is waited for.

    Raises:
        RefusedError: the store refuses for good; at once, as every other error that is no `StorageError`.
        StorageError: the last try's, when the time is over.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except RefusedError:
            raise
        except StorageError as error:
            missing = isinstance(error, MissingError)
            limit = min(timeout_seconds, _MISSING_SECONDS) if missing else timeout_seconds
            if time.monotonic() + pause - started > limit:
                raise
            if notify is not None and pause == _FIRST_PAUSE_SECONDS:
                notify(f"waiting: {error}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def wait_until(
    condition: Callable[[], T],
    timeout_seconds: float,
    message: str | Callable[[], str],
    *,
    poll_seconds: float = 0.2,
    retry_on: tuple[type[Exception], ...] = (),
) -> T:
    """Call a condition until its result is true, and return that result.

    Args:
        condition: called at least once; an error that it raises passes through.
        timeout_seconds: how long to go on calling it.
        message: what the error says when the time is over, or a function that returns it then.
        poll_seconds: the pause between two calls.
        retry_on: errors of the condition that count as "not yet".

    Raises:
        WaitTimeoutError: the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        last_error: Exception | None = None
        try:
            if result := condition():
                return result
        except retry_on as error:
            last_error = error
        if time.monotonic() > deadline:
            text = message if isinstance(message, str) else message()
            cause = f": {last_error}" if last_error else ""
            raise WaitTimeoutError(f"{text} (waited {timeout_seconds:.0f} s){cause}") from last_error
        time.sleep(poll_seconds)
