"""What a run's start is spent on, from the command to the end of the first step."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

FIRST_STEP = "first step"
MILESTONES = ("imports", "data sets", "cluster", "record", "workers", "state", "first batch", FIRST_STEP)
"""In order: programs loaded; manifests read and checked; Ray joined; the run's folder and record; Ray Train's
workers; networks and what they go on from; the stream's first batch; and the step itself."""


@dataclass
class StartupTimer:
    """
    Attributes:
        started: when the command began, in seconds since the epoch.
        reached: the same by milestone, for the first time each.
    """

    started: float = field(default_factory=time.time)
    reached: dict[str, float] = field(default_factory=dict)

    def mark(self, milestone: str) -> None:
        """It is reached now; that counts once."""
        self.reached.setdefault(milestone, time.time())

    def text(self) -> str:
        """All of it in one line that `parse` understands."""
        before, parts = self.started, []
        for milestone, at in self.reached.items():
            parts.append(f"{milestone} {at - before:.2f} s")
            before = at
        return f"{FIRST_STEP} after {before - self.started:.2f} s: {', '.join(parts)}"


def parse(text: str) -> dict[str, float] | None:
    """Seconds by milestone from a line of `StartupTimer.text`; None where it is another."""
    if not text.startswith(f"{FIRST_STEP} after "):
        return None
    parts = re.findall(r"([a-z][a-z ]*) ([\d.]+) s", text.partition(": ")[2])
    return {name: float(seconds) for name, seconds in parts}
