"""Length of the quickstart's training run, from the speed of this machine."""

from __future__ import annotations

import os
import time

import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods import build_method
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.config.recipes import recipe

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
    config = recipe("small")
    method = build_method(config.method.name, **config.method.model_dump())
    image = torch.zeros(pairs, 3, method.size, method.size)
    mask = torch.ones(pairs, 1, method.size, method.size)
    style = torch.full((pairs, NUM_CONDITIONS), 1 / NUM_CONDITIONS)
    condition = torch.zeros(pairs, dtype=torch.int64)
    batches = {
        Domain.REAL: HarmonizationBatch(image, image, mask),
        Domain.RENDERED: HarmonizationBatch(image, image, mask, style, condition),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        method.update(batches)  # the first one is slower
        started = time.monotonic()
        method.update(batches)
        return time.monotonic() - started
    finally:
        torch.set_num_threads(threads)
