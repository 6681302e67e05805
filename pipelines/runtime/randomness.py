"""Reproducible random numbers and orders: functions of a seed and of names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def seeded_rng(*key: Any) -> np.random.Generator:
    """Return a generator that depends on the key alone: not on the process, the platform or earlier draws.

    Args:
        key: values whose `repr` is the same on every machine, such as numbers and texts.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))


def hash_order(ids: Sequence[str]) -> Iterator[int]:
    """Yield the indices of ids in an order that depends on the ids alone and separates neighbours of a list.

    Lists are sorted by photograph, and a row group, the unit of shuffling, must not hold the variants of a
    few photographs.
    """
    digests = [hashlib.sha256(text.encode()).digest() for text in ids]
    return iter(sorted(range(len(ids)), key=digests.__getitem__))
