"""SIGTERM and Ctrl-C as an orderly end: what a command holds is given back before its process ends.

The first signal raises. Whatever is raised from then on, in code that was interrupted or about processes that
the signal reached too, follows from it: the command ends with the signal's status and one line.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_STOPPED = 128 + signal.SIGTERM
"""Exit status of a command that was asked to stop."""

EXIT_INTERRUPTED = 128 + signal.SIGINT
"""Exit status of a command that Ctrl-C ended."""

_LINES = {
    signal.SIGTERM: "charmnet: stopped by SIGTERM",
    signal.SIGINT: "charmnet: interrupted",
}
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_received: int | None = None


def _stop(number: int, _: object) -> None:
    global _received  # noqa: PLW0603 - a process receives its signals once
    _received = number
    signal.alarm(0)  # Ray's C++ library, where it has seen the signal, too, would abort the process
    ignore_signals()  # a second one must not break the clearing up off
    raise_if_stopped()


def raise_if_stopped() -> None:
    """Raise the end of this process again where a signal asked for it; libraries swallow it at times.

    Raises:
        SystemExit: SIGTERM was received.
        KeyboardInterrupt: SIGINT was.
    """
    if _received == signal.SIGTERM:
        sys.exit(EXIT_STOPPED)
    if _received == signal.SIGINT:
        raise KeyboardInterrupt


def ignore_signals() -> None:
    """Let the two signals pass from now on; programs that are started later do not inherit this."""
    for number in _DEFAULTS:
        signal.signal(number, lambda *_: None)


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call a function instead of ending the process; main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _DEFAULTS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def exiting_on_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGINT raise, so that temporary files are removed; the exit status is 143 or 130.

    Does nothing in another thread than the main one. A signal that the process handles or ignores already,
    as one does that a shell starts in the background, is left as it is.

    Raises:
        SystemExit: a signal was received, whatever came of it inside.
    """
    global _received  # noqa: PLW0603
    ours = {n: default for n, default in _DEFAULTS.items() if signal.getsignal(n) is default}
    if not ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    _received = None
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    except BaseException:
        if _received is None:
            raise
    finally:
        for number, default in ours.items():
            if signal.getsignal(number) is _stop:
                signal.signal(number, default)
    if _received is not None:
        print(_LINES[signal.Signals(_received)], file=sys.stderr)
        raise SystemExit(128 + _received)
