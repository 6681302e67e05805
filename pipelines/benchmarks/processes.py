"""What the processes of a run spend, told apart by what they are for.

CPU seconds of a sample say what it costs whoever else uses the machine; where a run keeps all cores busy, its
rate is the cores over that cost.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Spent:
    """CPU seconds of the processes below this one, by (process id, kind)."""

    seconds: dict[tuple[int, str], float]

    @classmethod
    def now(cls) -> Spent:
        found = {}
        for process in psutil.Process().children(recursive=True):
            try:
                words, times = process.cmdline(), process.cpu_times()
            except psutil.Error:  # it has just ended
                continue
            found[process.pid, kind_of(words)] = times.user + times.system
        return cls(found)

    def since(self, before: Spent) -> dict[str, float]:
        """By kind, of those that are still there."""
        passed: dict[str, float] = defaultdict(float)
        for key, seconds in self.seconds.items():
            passed[key[1]] += seconds - before.seconds.get(key, 0.0)
        return dict(passed)


def kind_of(words: Sequence[str]) -> str:
    """What a process is in a run, from its command line."""
    name = words[0] if words else ""
    if re.search("RayTrainWorker|_Scorer|_Harmonizer", name):
        return "models"
    if re.search(r"read_(real|rendered)|MapBatches\(decode", name):
        return "data tasks"
    if name.startswith("ray::"):
        return "actors of Ray Data and Train"
    return "driver" if {"pipelines", "train"} <= set(words) else "Ray's servers"
