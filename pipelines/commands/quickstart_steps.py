"""Length of the quickstart's training run, from the speed of this machine."""

from __future__ import annotations

import time

import torch

from charmnet.augment import TRAINING_SIZE
from charmnet.batch import HarmonizationBatch
from charmnet.methods import build_method
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.config.recipes import recipe

STEP_OVERHEAD = 1.6
"""Time of a step in relation to that of the networks: pictures, gradients between workers, validation."""


def steps_within(seconds: float, workers: int) -> int:
    """Return how many steps of the small recipe some workers take in a time, by one measured update."""
    return int(seconds / (STEP_OVERHEAD * _seconds_per_update(workers)))


def _seconds_per_update(workers: int) -> float:
    """Measure an update of the networks as each worker makes it: its part of the batch, on one thread."""
    config = recipe("small")
    rows = config.batch_size // workers
    image = torch.zeros(rows, 3, TRAINING_SIZE, TRAINING_SIZE)
    mask = torch.ones(rows, 1, TRAINING_SIZE, TRAINING_SIZE)
    style = torch.full((rows, NUM_CONDITIONS), 1 / NUM_CONDITIONS)
    condition = torch.zeros(rows, dtype=torch.int64)
    batches = {
        Domain.REAL: HarmonizationBatch(image, image, mask),
        Domain.RENDERED: HarmonizationBatch(image, image, mask, style, condition),
    }
    method = build_method(config.method.name, **config.method.model_dump())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        method.update(batches)  # the first one is slower
        started = time.monotonic()
        method.update(batches)
        return time.monotonic() - started
    finally:
        torch.set_num_threads(threads)
