"""One domain's endless stream of global batches, and how it is cut into windows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from charmnet.augment import TRAINING_SIZE, AugmentationKind, MaskEdges
from charmnet.vocabulary import Domain
from pipelines.ingest.decode_options import DecodeOptions, Decoding
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import EVERYTHING, Selection

_MIN_WINDOW_SAMPLES = 128
_REFETCHED = 0.08


@dataclass(frozen=True)
class StreamSpec:
    """One domain's endless stream of global batches.

    Attributes:
        batch_size: samples of one global batch, over all workers.
        size: side in pixels of the training pictures.
        decoding: see `Decoding`.
        pool_row_groups: how many row groups the shuffle mixes.
        timeout_seconds: how long a store that does not answer is waited for.
        augmentation: see `charmnet.augment.AugmentationKind`.
        mask_edges: see `charmnet.augment.MaskEdges`.
        smallest_share: fewest samples of a step that a worker may get.
    """

    dataset: Dataset
    batch_size: int
    seed: int = 0
    selection: Selection = EVERYTHING
    size: int = TRAINING_SIZE
    decoding: Decoding = "exact"
    pool_row_groups: int = 4
    timeout_seconds: float = 600.0
    augmentation: AugmentationKind = "crop_flip"
    mask_edges: MaskEdges = "hard"
    smallest_share: int = 2

    @property
    def domain(self) -> Domain:
        return self.dataset.manifest.domain

    @property
    def decode_options(self) -> DecodeOptions:
        """How its samples are made."""
        return DecodeOptions(
            seed=self.seed,
            domain=self.domain,
            size=self.size,
            decoding=self.decoding,
            augmentation=self.augmentation,
            mask_edges=self.mask_edges,
        )

    @cached_property
    def plan(self) -> EpochPlan:
        return EpochPlan(self.dataset.manifest, self.selection, self.seed, self.pool_row_groups)

    def check_not_empty(self) -> None:
        """Check that the selection picks a sample; ValueError where it does not."""
        _ = self.plan

    @property
    def pool_steps(self) -> int:
        """About one shuffle pool, or of a small data set several epochs."""
        pool_samples = self.plan.num_samples / self.plan.num_pools
        return max(1, round(max(pool_samples, _MIN_WINDOW_SAMPLES) / self.batch_size))

    def windows(self, start_step: int, stop_step: int) -> list[tuple[int, int]]:
        """[(first step, step after the last)] that cover the steps: what one task makes.

        A task fetches the row groups of its own steps. Where a step holds samples of two shuffle pools, a cut
        beside it has row groups fetched twice; so windows end with such pools where that is at most
        `_REFETCHED` of what the window has read. They are not shorter than `_MIN_WINDOW_SAMPLES`, for a task
        costs more to start than a few samples.
        """
        if self.plan.num_samples <= _MIN_WINDOW_SAMPLES:  # a window reads all there is, wherever it ends
            starts = [*range(start_step, stop_step, self.pool_steps), stop_step]
            return list(itertools.pairwise(starts))
        windows, start, read = [], start_step, set[tuple[int, int]]()
        position, end = start_step * self.batch_size, stop_step * self.batch_size
        while position < end:
            border = self.plan.pool_end(position)
            read |= self.plan.row_groups(position, border)
            position = border
            cut, twice = self._cut(border)
            long_enough = (cut - start) * self.batch_size >= _MIN_WINDOW_SAMPLES
            if start < cut < stop_step and long_enough and twice <= _REFETCHED * len(read):
                windows.append((start, cut))
                start, read = cut, set()
        return [*windows, (start, stop_step)] if start < stop_step else windows

    def _cut(self, border: int) -> tuple[int, int]:
        """(step to begin a window with near the end of a pool, row groups that are fetched on both sides)."""
        before, after = border // self.batch_size, -(-border // self.batch_size)
        of_next = len(self.plan.row_groups(border, after * self.batch_size))
        of_last = len(self.plan.row_groups(before * self.batch_size, border))
        return (after, of_next) if of_next <= of_last else (before, of_last)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "plan"}  # the plan is remade
