"""Training batches in memory, for benchmarks of the update alone."""

from __future__ import annotations

import torch
from torch import Tensor

from charmnet.augment import TRAINING_SIZE
from charmnet.batch import HarmonizationBatch
from charmnet.vocabulary import NUM_CONDITIONS, Domain


def batches_in_memory(size: int, seed: int = 0) -> dict[Domain, HarmonizationBatch]:
    """Return a batch of `size` random samples of each domain, made of bytes as a worker's batches are."""
    random = torch.Generator().manual_seed(seed)

    def pixels() -> Tensor:
        shape = (size, TRAINING_SIZE, TRAINING_SIZE, 3)
        return torch.randint(256, shape, generator=random, dtype=torch.uint8)

    def mask() -> Tensor:
        return (torch.rand(size, TRAINING_SIZE, TRAINING_SIZE, generator=random) > 0.7).to(torch.uint8)

    styles = torch.rand(size, NUM_CONDITIONS, generator=random).softmax(1)
    classes = torch.randint(NUM_CONDITIONS, (size,), generator=random)
    return {
        Domain.RENDERED: HarmonizationBatch.from_uint8(pixels(), pixels(), mask(), styles, classes),
        Domain.REAL: HarmonizationBatch.from_uint8(pixels(), pixels(), mask()),
    }
