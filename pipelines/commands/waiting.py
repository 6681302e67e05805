"""Waiting of commands that serve until they are ended."""

from __future__ import annotations

import signal
import threading


def end_on_sigterm() -> None:
    """Have SIGTERM end the command in the way of Ctrl-C, so that it cleans up; main thread only."""
    signal.signal(signal.SIGTERM, _interrupt)


def wait_for_interrupt() -> None:
    """Wait for Ctrl-C or SIGTERM.

    Raises:
        KeyboardInterrupt: when it came.
    """
    threading.Event().wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
