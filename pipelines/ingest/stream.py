"""One domain's endless stream of global batches, and how it is cut into read windows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from charmnet.augment import TRAINING_SIZE, AugmentationKind, MaskEdges
from charmnet.vocabulary import Domain
from pipelines.ingest.decode_options import DecodeOptions, Decoding
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.ingest.sample_table import SampleTable
from pipelines.ingest.union import DatasetUnion
from pipelines.shards.foreground_colors import ForegroundColors, colors_of
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING, Selection

_MIN_WINDOW_SAMPLES = 128
_MAX_READ_TWICE = 0.08
_MADE_AGAIN = ("plan", "union", "colors")  # by every process that a spec is sent to


@dataclass(frozen=True)
class StreamSpec:
    """One domain's endless stream of global batches.

    Attributes:
        dataset: the data set, or several as one.
        batch_size: samples of one global batch, over all workers.
        seed: seed of the run.
        selection: the strata that take part.
        size: side of the training pictures in pixels.
        decoding: see `Decoding`.
        pool_row_groups: number of row groups that a shuffle pool mixes.
        timeout_seconds: how long a store that does not answer is waited for.
        augmentation: see `charmnet.augment.AugmentationKind`.
        mask_edges: see `charmnet.augment.MaskEdges`.
        smallest_share: fewest samples of a step that a worker may get.
        limit: number of samples that take part at most, see `SampleTable`; None is no limit.
        color_jitter: strength of `charmnet.color_jitter.ColorJitter`; 0 changes nothing.
    """

    dataset: Dataset | DatasetUnion
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
    limit: int | None = None
    color_jitter: float = 0.0

    @property
    def domain(self) -> Domain:
        """Domain of the stream."""
        return self.union.domain

    @property
    def decode_options(self) -> DecodeOptions:
        """Options that its samples are made with."""
        return DecodeOptions(
            seed=self.seed,
            domain=self.domain,
            size=self.size,
            decoding=self.decoding,
            augmentation=self.augmentation,
            mask_edges=self.mask_edges,
            color_jitter=self.color_jitter,
        )

    @cached_property
    def union(self) -> DatasetUnion:
        """Data sets of the stream; a single one as a union of one."""
        return DatasetUnion.of(self.dataset)

    @cached_property
    def plan(self) -> EpochPlan:
        """Order of the samples.

        Raises:
            ValueError: the selection picks nothing of a data set.
        """
        return EpochPlan(self.sample_table(), self.domain, self.seed, self.pool_row_groups)

    def sample_table(self) -> SampleTable:
        """Return the samples of an epoch, numbered in file order.

        Raises:
            ValueError: the selection picks nothing of a data set.
        """
        return SampleTable(self.union.manifests, self.selection, self.limit)

    @cached_property
    def colors(self) -> tuple[ForegroundColors | None, ...]:
        """Colours of the foregrounds of each member, None of those that hold no photographs.

        Where a limit leaves a part of the samples, these alone lend their colours.

        Raises:
            DataError, StorageError: see `colors_of`.
        """
        photographs = [m.manifest.kind is RowKind.PHOTOGRAPH for m in self.union.members]
        if not any(photographs):
            return (None,) * len(photographs)
        samples = None if self.limit is None else self.sample_table()
        return tuple(
            self._lent_colors(number, samples) if needed else None
            for number, needed in enumerate(photographs)
        )

    def _lent_colors(self, member: int, samples: SampleTable | None) -> ForegroundColors:
        dataset = self.union.members[member]
        colors = colors_of(dataset)
        shards = self.union.shards_of(member)
        chosen = None if samples is None else samples.chosen_of_shards(*shards)
        if chosen is None:
            return colors
        strata = colors.strata[: dataset.manifest.samples]
        selected = np.flatnonzero([self.selection(stratum) for stratum in strata])
        return colors.lent_by(selected[chosen])

    def check_not_empty(self) -> None:
        """Check that the selection picks a sample of every data set; ValueError where it does not."""
        _ = self.plan

    @property
    def pool_steps(self) -> int:
        """Number of steps of about one shuffle pool, or of several epochs of a small data set."""
        pool_samples = self.plan.num_samples / self.plan.num_pools
        return max(1, round(max(pool_samples, _MIN_WINDOW_SAMPLES) / self.batch_size))

    def windows(self, start_step: int, stop_step: int) -> list[tuple[int, int]]:
        """Return the read windows that cover the steps start_step..stop_step-1: one for each data task.

        A task fetches the row groups of its own steps. Where a step holds samples of two shuffle pools,
        ending a window beside it has row groups fetched twice; so windows end with those pools where that is
        at most 8 % of the row groups that the window reads. Windows have at least 128 samples, since a task
        costs more to start than a few samples do.

        Returns:
            (first step, step after the last) of each window.
        """
        if self.plan.num_samples <= _MIN_WINDOW_SAMPLES:  # a window reads all there is, wherever it ends
            starts = [*range(start_step, stop_step, self.pool_steps), stop_step]
            return list(itertools.pairwise(starts))
        windows: list[tuple[int, int]] = []
        start = start_step
        read: set[tuple[int, int]] = set()
        position = start_step * self.batch_size
        end = stop_step * self.batch_size
        while position < end:
            pool_end = self.plan.pool_end(position)
            read |= self.plan.row_groups(position, pool_end)
            position = pool_end
            cut, read_twice = self._cut(pool_end)
            long_enough = (cut - start) * self.batch_size >= _MIN_WINDOW_SAMPLES
            if start < cut < stop_step and long_enough and read_twice <= _MAX_READ_TWICE * len(read):
                windows.append((start, cut))
                start = cut
                read = set()
        return [*windows, (start, stop_step)] if start < stop_step else windows

    def _cut(self, pool_end: int) -> tuple[int, int]:
        """Return (step that a window may begin with near a pool's end, row groups fetched on both sides)."""
        before = pool_end // self.batch_size
        after = -(-pool_end // self.batch_size)
        of_next = len(self.plan.row_groups(pool_end, after * self.batch_size))
        of_last = len(self.plan.row_groups(before * self.batch_size, pool_end))
        return (after, of_next) if of_next <= of_last else (before, of_last)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _MADE_AGAIN}
