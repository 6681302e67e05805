"""What a run waits for, in words: of workers that give signs of life, and of ones that do not start."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.training.hangs import DATA, END, OTHER, SAVING, UPDATE, VALIDATION, Beat

WORKERS = "workers"
FIRST_SECONDS = 15.0
"""A wait is told once it has lasted so long, and again whenever it has lasted twice as long."""

_IN_WORDS = {
    DATA: "data",
    END: "the last uploads",
    OTHER: "the state to begin with",
    SAVING: "the upload of the checkpoint before",
    VALIDATION: "validation",
    WORKERS: "workers, which Ray starts once the cluster has room for them (`ray status`)",
}


@dataclass(frozen=True)
class Wait:
    """What a run waits for.

    Attributes:
        what: phase of a worker, or `WORKERS`.
        seconds: for how long.
        where: which worker waits, in words; empty where there is none.
    """

    what: str
    seconds: float
    where: str = ""

    def __str__(self) -> str:
        return f"waiting for {_IN_WORDS[self.what]}: {self.seconds:.0f} s{self.where}"


class Waiting:
    """What is awaited, by what workers said last and when.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._alone_since: float | None = clock()
        self._seen = Wait("", 0.0)
        self._due_seconds = FIRST_SECONDS

    def look(self, heard: Sequence[tuple[Beat, float]]) -> Wait | None:
        """Return what is awaited if that is to be told now; call it every second or so.

        Args:
            heard: last sign of life of each worker, and when it came.
        """
        wait = self._longest(heard)
        if wait.what != self._seen.what or wait.seconds < self._seen.seconds / 2:
            self._due_seconds = FIRST_SECONDS
        self._seen = wait
        if wait.seconds < self._due_seconds:
            return None
        self._due_seconds = 2 * wait.seconds
        return wait

    def _longest(self, heard: Sequence[tuple[Beat, float]]) -> Wait:
        now = self._clock()
        if not heard:
            self._alone_since = self._alone_since or now
            return Wait(WORKERS, now - self._alone_since)
        self._alone_since = None
        waits = [
            Wait(beat.phase, beat.phase_seconds + now - at, f" (rank {beat.rank}, step {beat.step})")
            for beat, at in heard
            if beat.phase != UPDATE
        ]
        return max(waits, key=lambda wait: wait.seconds, default=Wait(UPDATE, 0.0))
