"""Workers that hang: what each says of itself every few seconds, and when that means that it hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

BEAT_SECONDS = 5.0
SILENT_SECONDS = 40.0
"""A worker hangs that said nothing for so long: it is stopped, or one call holds Python's interpreter."""
UPDATE_SECONDS = 45.0
"""A group hangs that is so long in one update, and four times as long as in any before."""

_FIRST_UPDATE_SECONDS = 600.0  # it may compile, and there is nothing to compare it with
_UPDATE_FACTOR = 4.0
_MOST_SECONDS_BETWEEN_LOOKS = 10.0  # after longer it was this process that stood still

UPDATE = "update"
DATA = "data"
VALIDATION = "validation"
SAVING = "checkpoint"
END = "end"
OTHER = "other"


@dataclass(frozen=True)
class Beat:
    """What a worker says of itself.

    Attributes:
        rank: its rank.
        node: Ray's id of its node.
        pid: number of its process.
        started_seconds: when the process started, in seconds since 1970, by its node's clock.
        stack_file: file that its stack is written to at a signal.
        step: number of finished steps.
        phase: `update`; `data`, which a store may hold up; `validation`; `checkpoint`, which waits for the
            upload of the one before; `end`, for the last uploads; or `other`, such as the start.
        phase_seconds: how long it has been in that phase, without waiting for a processor.
        longest_update: duration of the longest update so far, in seconds; 0 before the first.
    """

    rank: int
    node: str
    pid: int
    started_seconds: float
    stack_file: str
    step: int
    phase: str
    phase_seconds: float
    longest_update: float

    @property
    def process(self) -> tuple[str, int, float]:
        """Process that says it."""
        return self.node, self.pid, self.started_seconds


@dataclass(frozen=True)
class Hang:
    """Workers that hang.

    Attributes:
        workers: those that hang, by rank.
        group: all workers of the group, by rank.
        reason: what is seen of it, in words.
    """

    workers: tuple[Beat, ...]
    group: tuple[Beat, ...]
    reason: str

    @property
    def step(self) -> int:
        """Number of finished steps; of a silent worker alone it would be that of its last sign of life."""
        return max(beat.step for beat in self.group)


class PhaseClock:
    """What a worker is doing, and since when; made in the thread that trains.

    Entering a phase costs less than a microsecond.

    Attributes:
        listener: called with each phase that is entered, and the number of finished steps.
    """

    def __init__(self) -> None:
        self.listener: Callable[[str, int], None] | None = None
        self.step = 0
        self.longest_update = 0.0
        self._seen = time.monotonic()
        self._current = (OTHER, self._seen)  # one value, since another thread reads it
        self._thread = threading.get_native_id()
        self._queued = self._queued_before = queued_seconds(self._thread)

    def enter(self, phase: str, step: int) -> None:
        """Begin a phase.

        Args:
            phase: see `Beat`.
            step: number of finished steps.
        """
        now = time.monotonic()
        ended, since = self._current
        if ended == UPDATE:
            self.longest_update = max(self.longest_update, now - since)
        self._current = (phase, now)
        self.step = step
        if self.listener is not None:
            self.listener(phase, step)

    def now(self) -> tuple[str, float]:
        """Return the phase and how long it has lasted, in seconds; call it every few seconds.

        What its thread waited for a processor is left out: on a machine that others load, an update takes
        long and is no hang.
        """
        before, self._queued = self._queued, queued_seconds(self._thread)
        phase, since = self._current
        if since != self._seen:
            self._seen, self._queued_before = since, before
        passed = time.monotonic() - since
        return phase, max(0.0, passed - (self._queued - self._queued_before))


class HangWatch:
    """Last words of a run's workers, and whether one of them hangs.

    Only durations by this process's clock count, so that clocks of nodes may differ.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[tuple[str, int, float], tuple[Beat, float]] = {}
        self._looked = clock()

    def beat(self, beat: Beat) -> None:
        """Take what a worker says."""
        self._heard[beat.process] = beat, self._clock()

    @property
    def heard(self) -> list[tuple[Beat, float]]:
        """Last sign of life of each worker, and when it came by the clock."""
        return list(self._heard.values())

    def forget(self, beats: Iterable[Beat]) -> None:
        """Forget workers that have ended."""
        for beat in beats:
            self._heard.pop(beat.process, None)

    def look(self) -> Hang | None:
        """Return the workers that hang, if any do; call it every second or so."""
        now = self._clock()
        if now - self._looked > _MOST_SECONDS_BETWEEN_LOOKS:
            self._heard = {process: (beat, now) for process, (beat, _) in self._heard.items()}
        self._looked = now
        heard = sorted(self._heard.values(), key=lambda entry: entry[0].rank)
        group = tuple(beat for beat, _ in heard)
        silent = tuple((beat, now - at) for beat, at in heard if now - at > SILENT_SECONDS)
        if silent:
            longest = max(seconds for _, seconds in silent)
            said = f"{_ranks(beat for beat, _ in silent)} gave no sign of life for {longest:.0f} s"
            return Hang(tuple(beat for beat, _ in silent), group, said)
        if not group or any(beat.phase != UPDATE for beat in group):
            return None  # the others may be waiting for one that waits for a store, or validates
        longest = max(beat.longest_update for beat in group)
        limit = max(UPDATE_SECONDS, _UPDATE_FACTOR * longest) if longest else _FIRST_UPDATE_SECONDS
        shortest = min(beat.phase_seconds + now - at for beat, at in heard)
        if shortest < limit:
            return None
        return Hang(group, group, f"{_ranks(group)} did not end an update for {shortest:.0f} s")


def queued_seconds(thread: int) -> float:
    """Return how long a thread of this process has waited for a processor; 0 where Linux does not say."""
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _ranks(beats: Iterable[Beat]) -> str:
    ranks = [str(beat.rank) for beat in beats]
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(ranks)}"
