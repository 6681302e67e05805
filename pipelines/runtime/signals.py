"""SIGTERM as an orderly end: what a command holds is given back before its process ends.

Ray, once it is started, puts a handler of its own in this one's place, which ends its processes first.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

EXIT_STOPPED = 128 + signal.SIGTERM
"""Exit status of a command that was asked to stop."""


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break the clearing up off
    sys.exit(EXIT_STOPPED)


@contextmanager
def exiting_on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises `SystemExit`, so that temporary files are removed and the exit status is 143.

    Does nothing in another thread than the main one, and where the process handles the signal already.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield  # the handler stays: a signal may come while the process ends
    except SystemExit as ended:
        if ended.code not in (EXIT_STOPPED, signal.SIGTERM):  # Ray's own handler exits with the latter
            raise
        print("charmnet: stopped by SIGTERM", file=sys.stderr)
        raise SystemExit(EXIT_STOPPED) from None
