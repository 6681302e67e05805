"""A function with a state that takes long to make, such as a model, mapped over a cluster by actors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import ray

if TYPE_CHECKING:
    from ray import ObjectRef

T = TypeVar("T")
R = TypeVar("R")

_IN_FLIGHT = 2  # calls that an actor is given at a time beyond those that it works on: it never waits


def map_with_actors(
    make: Callable[..., Callable[[T], R]],
    arguments: tuple[Any, ...],
    items: Sequence[T],
    *,
    actors: int,
    on_gpus: bool,
    at_once: int = 1,
) -> Iterator[tuple[int, R]]:
    """Make a function once in each of some actors and call one of them for each item.

    The cluster is joined already. An actor that is lost is started again, and its calls are repeated, as
    often as that happens; one that there is no room for yet is waited for by no item. When the caller stops
    early, the actors end after the calls that they were given.

    Args:
        make: called in an actor with the arguments, returns the function.
        arguments: may be large; they are stored once. Those of an actor itself would not be kept for its
            next start, which Ray warns of in a line of its own.
        items: each travels with its call.
        actors: how many.
        on_gpus: whether an actor takes a GPU, else a CPU.
        at_once: calls that an actor works on at a time, in threads.

    Yields:
        (index of the item, result), as they are ready.
    """
    stored = [ray.put((make, arguments))]  # in a list it stays a reference
    options = {"num_cpus": 0, "num_gpus": 1} if on_gpus else {"num_cpus": 1}
    actor_class = ray.remote(_FunctionActor).options(
        max_restarts=-1, max_task_retries=-1, max_concurrency=at_once, **options
    )
    pool: list[Any] = [actor_class.remote() for _ in range(actors)]
    running: dict[ObjectRef[Any], tuple[Any, int | None]] = {
        actor.ready.remote(): (actor, None) for actor in pool
    }
    remaining = iter(enumerate(items))
    unfinished = len(items)
    while unfinished:
        (reference, *_), _ = ray.wait(list(running), num_returns=1)
        actor, number = running.pop(reference)
        result = ray.get(reference)
        for _ in range(at_once + _IN_FLIGHT - 1 if number is None else 1):
            if (following := next(remaining, None)) is not None:
                running[actor.call.remote(stored, following[1])] = (actor, following[0])
        if number is not None:
            unfinished -= 1
            yield number, result


class _FunctionActor:
    """Makes the function at its first call, and again after a restart."""

    def __init__(self) -> None:
        self._function: Callable[[Any], Any] | None = None
        self._making = threading.Lock()

    def ready(self) -> None:
        """Return once the actor runs."""

    def call(self, stored: list[ObjectRef[Any]], item: Any) -> Any:
        """Return the function's result."""
        with self._making:
            if self._function is None:
                make, arguments = ray.get(stored[0])
                self._function = make(*arguments)
        return self._function(item)
