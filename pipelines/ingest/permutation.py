"""Pseudo-random permutations that are computed an element at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.runtime.randomness import seeded_rng

_ROUNDS = 4


def _mix(values: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """Return a cheap keyed hash of integers (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = values + np.uint64(key)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


class Permutation:
    """Permutation of 0..size-1 that takes constant memory, and constant time an element.

    A balanced Feistel network permutes the integers below the next even power of two; a value outside of
    0..size-1 is permuted again until it falls inside, which keeps the whole a permutation.

    Args:
        size: number of elements.
        key: values that the permutation depends on.

    Raises:
        ValueError: `size` is negative.
    """

    def __init__(self, size: int, *key: Any) -> None:
        if size < 0:
            raise ValueError(f"the size of a permutation is {size}, expected 0 or more")
        self.size = size
        self._half_bits = max(1, ((max(size, 2) - 1).bit_length() + 1) // 2)
        self._keys = [int(k) for k in seeded_rng("permutation", *key).integers(0, 2**63, _ROUNDS)]

    def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the images of `indices`.

        Raises:
            ValueError: an index is not in 0..size-1.
        """
        if len(indices) and (indices.min() < 0 or indices.max() >= self.size):
            raise ValueError(f"indices {indices.min()}..{indices.max()} of a permutation of {self.size}")
        values = self._once(indices.astype(np.uint64))
        while (outside := values >= self.size).any():
            values[outside] = self._once(values[outside])
        return values.astype(np.int64)

    def _once(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        bits = np.uint64(self._half_bits)
        low_mask = np.uint64((1 << self._half_bits) - 1)
        left, right = values >> bits, values & low_mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right, key) & low_mask)
        return (left << bits) | right
