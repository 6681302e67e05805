"""Phases of a run's start, from the command to the end of the first step."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

FIRST_STEP = "first step"
PHASES = (
    "imports",
    "data sets",
    "cluster",
    "record",
    "workers",
    "state",
    "validation",
    "first batch",
    FIRST_STEP,
)
"""In order: programs loaded; manifests read and checked; Ray joined; the run's folder and record; Ray Train's
workers; networks and what they go on from; validation at step 0, of a new run that validates; the stream's
first batch; and the step itself."""


@dataclass
class StartupTimer:
    """Time of a run's start by phase.

    Attributes:
        started: when the command began, in seconds since 1970.
        finished: when each phase was first over, alike.
    """

    started: float = field(default_factory=time.time)
    finished: dict[str, float] = field(default_factory=dict)

    def mark(self, phase: str) -> None:
        """Record that a phase is over; only the first call counts."""
        self.finished.setdefault(phase, time.time())

    def text(self) -> str:
        """Return all phases in one line that `parse` understands."""
        before, parts = self.started, []
        for phase, at in self.finished.items():
            parts.append(f"{phase} {at - before:.2f} s")
            before = at
        return f"{FIRST_STEP} after {before - self.started:.2f} s: {', '.join(parts)}"


def parse(text: str) -> dict[str, float] | None:
    """Return seconds by phase from a line of `StartupTimer.text`; None for another line."""
    if not text.startswith(f"{FIRST_STEP} after "):
        return None
    parts = re.findall(r"([a-z][a-z ]*) ([\d.]+) s", text.partition(": ")[2])
    return {name: float(seconds) for name, seconds in parts}
