"""Threads: a function mapped over arguments in order, or run in the background for a while."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

READ_AHEAD = 8
"""Calls in flight: a store takes long to answer, and can answer several requests at the same time."""


def read_ahead(function: Callable[[S], T], arguments: Iterable[S], at_once: int = READ_AHEAD) -> Iterator[T]:
    """Yield the results of `map(function, arguments)` in order, with a few calls in flight on threads."""
    with ThreadPoolExecutor(at_once) as pool:
        running: deque[Future[T]] = deque()
        for argument in arguments:
            if len(running) == at_once:
                yield running.popleft().result()
            running.append(pool.submit(function, argument))
        while running:
            yield running.popleft().result()


@contextmanager
def in_background(work: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Inside, run a function on a thread; at the end set its event and wait for it to return.

    Args:
        work: called once with the event.
        name: name of the thread.
    """
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), daemon=True, name=name)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
