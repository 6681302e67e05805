"""Times of a step by rank, and which worker the others wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_JUDGED_STEPS = 20
_SLOW_FACTOR = 2.0
_LEAST_SHARE = 0.1  # of a step that the others wait, for which a rank is named
_MOST_RANKS = 32  # that have metrics of their own


@dataclass(frozen=True)
class RankTimings:
    """Mean times of a step, in seconds, over a window of steps.

    Attributes:
        steps: number of steps.
        step_seconds: duration of a step, the same for all: they exchange gradients in each.
        work_seconds: by rank, how long it works by itself, from the end of an update to the end of the next
            one's first forward pass, the wait for data included. No worker waits for another there.
        wait_seconds: by rank, how long of that it waits for data.
    """

    steps: int
    step_seconds: float
    work_seconds: tuple[float, ...]
    wait_seconds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Duration of the window."""
        return self.steps * self.step_seconds

    def metrics(self) -> dict[str, float]:
        """Return the maximum of both times with its rank, and for small groups both times of each rank."""
        values: dict[str, float] = {}
        for name, seconds in (("work", self.work_seconds), ("data_wait", self.wait_seconds)):
            values[f"workers/{name}_seconds_max"] = max(seconds)
            values[f"workers/{name}_seconds_max_rank"] = float(seconds.index(max(seconds)))
            if len(seconds) <= _MOST_RANKS:
                values |= {f"workers/{name}_seconds/{rank}": value for rank, value in enumerate(seconds)}
        return values


class StragglerWatch:
    """Names the worker that takes at least twice as long as the others, and says when it no longer does."""

    def __init__(self) -> None:
        self._windows: list[RankTimings] = []
        self._slow: int | None = None

    def add(self, timings: RankTimings) -> str | None:
        """Take a window; return what is new of at least 20 steps, in words."""
        self._windows.append(timings)
        if len(timings.work_seconds) < 2 or sum(window.steps for window in self._windows) < _JUDGED_STEPS:
            return None
        windows, self._windows = self._windows, []
        works = _means([window.work_seconds for window in windows], windows)
        waits = _means([window.wait_seconds for window in windows], windows)
        (step,) = _means([(window.step_seconds,) for window in windows], windows)
        rank = works.index(max(works))
        others = median(work for number, work in enumerate(works) if number != rank)
        is_slow = works[rank] > _SLOW_FACTOR * others and works[rank] - others > _LEAST_SHARE * step
        before, self._slow = self._slow, rank if is_slow else None
        if before == self._slow:
            return None
        if not is_slow:
            return f"rank {before} is no longer slower than the others"
        return (
            f"rank {rank} is slow and the others wait for it: {works[rank]:.3f} s from an update to the next "
            f"one's first forward pass, {waits[rank]:.3f} s of them for data; the others {others:.3f} s "
            f"(median), a step {step:.3f} s"
        )


def _means(values: Sequence[Sequence[float]], windows: Sequence[RankTimings]) -> list[float]:
    """Return means by position, weighted by the windows' steps."""
    steps = sum(window.steps for window in windows)
    weighted = ([window.steps * value for value in row] for window, row in zip(windows, values, strict=True))
    return [sum(column) / steps for column in zip(*weighted, strict=True)]
