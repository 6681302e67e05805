"""Reading ahead on threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

S = TypeVar("S")
READ_AHEAD = 8  # rows that a task fetches and checks at the same time: a store answers late, not slowly


def read_ahead(function: Callable[[S], T], arguments: Iterable[S], at_once: int = READ_AHEAD) -> Iterator[T]:
    """`map` in order with a few calls in flight."""
    with ThreadPoolExecutor(at_once) as pool:
        running: deque[Future[T]] = deque()
        for argument in arguments:
            if len(running) == at_once:
                yield running.popleft().result()
            running.append(pool.submit(function, argument))
        while running:
            yield running.popleft().result()
