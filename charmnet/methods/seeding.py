"""Seeds of torch's generators: for initial weights and for every update."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_update(seed: int, step: int, worker: int) -> None:
    """Seed torch's default generators for one update.

    Args:
        seed: seed of the run.
        step: number of finished steps.
        worker: rank of this worker.
    """
    digest = hashlib.blake2b(f"{seed}/{step}/{worker}".encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "little") >> 1)


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Inside, torch's global CPU generator starts from `seed`, and is put back after; None does nothing."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
