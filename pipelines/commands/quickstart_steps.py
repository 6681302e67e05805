"""Length of the quickstart's training run, from the speed of this machine."""

from __future__ import annotations

import os

from pipelines.config.recipes import recipe
from pipelines.study.timing import seconds_per_update

PAIR_SECONDS = 0.012
"""Time of a core to make a pair of samples: a photograph's composite and a scene's."""

STEP_OVERHEAD = 1.4
"""Time of a step in relation to networks and samples: gradients between workers, validation, records."""


def steps_within(seconds: float, workers: int) -> int:
    """Return how many steps of the small recipe some workers take in a time, by one measured update."""
    batch = recipe("small").batch_size
    update = _seconds_per_update(batch // workers)
    cores = min(len(os.sched_getaffinity(0)), workers)
    return int(seconds / (STEP_OVERHEAD * (update * workers + PAIR_SECONDS * batch) / cores))


def _seconds_per_update(pairs: int) -> float:
    """Measure an update of the networks as each worker makes it: its part of the batch, on one thread."""
    return seconds_per_update(recipe("small").replaced(batch_size=pairs), steps=1)
