"""Reading a window of training steps: the work of one Ray Data task."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from charmnet.augment import TRAINING_SIZE
from charmnet.vocabulary import Domain
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.ingest.samples import Decoding
from pipelines.ingest.source import Delivery, SampleSource
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import EVERYTHING, Selection

Block = dict[str, NDArray[Any]]

_MIN_WINDOW_SAMPLES = 128
_REFETCHED = 0.08


@dataclass(frozen=True)
class StreamSpec:
    """One domain's endless stream of global batches.

    Attributes:
        batch_size: samples of one global batch, over all workers.
        size: side in pixels of the training pictures.
        decoding: see `samples.decode`.
        pool_row_groups: how many row groups the shuffle mixes.
        patience_seconds: how long a store that does not answer is waited for.
    """

    dataset: Dataset
    batch_size: int
    seed: int = 0
    selection: Selection = EVERYTHING
    size: int = TRAINING_SIZE
    decoding: Decoding = "exact"
    pool_row_groups: int = 4
    patience_seconds: float = 600.0

    @property
    def domain(self) -> Domain:
        return self.dataset.manifest.domain

    @cached_property
    def plan(self) -> EpochPlan:
        return EpochPlan(self.dataset.manifest, self.selection, self.seed, self.pool_row_groups)

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


def read_window(
    spec: StreamSpec,
    start_step: int,
    stop_step: int,
    block_rows: int,
    source: SampleSource | None = None,
    steps_together: int = 1,
) -> Iterator[Block]:
    """Blocks in the order of the plan: every step's lanes of `block_rows` samples, one after the other.

    Args:
        source: that makes the samples; a plain one if None.
        steps_together: a block has the samples of a lane for so many steps, or what is left of the window.

    Yields:
        composite, ground_truth [R,S,S,3] uint8; foreground_mask [R,S,S] uint8; id [R] str; step, lane, index
        (in the global batch), epoch [R] int64; quarantined [R] str: a `Quarantined` as JSON where the sample
        stands for another, else empty; for the rendered domain composite_style [R,10] float32 and
        ground_truth_style [R] int64.

    Raises:
        DataError: neither a sample nor one of its stand-ins can be decoded; names it.
        StorageError: a shard cannot be read; names it.
    """
    cv2.setNumThreads(0)  # tasks are the parallelism
    source = source or SampleSource(spec)
    first = start_step * spec.batch_size
    planned = [
        (run.epoch, (shard, group, offset))
        for run in spec.plan.runs(first, stop_step * spec.batch_size)
        for shard, group, offset in run.references.tolist()
    ]
    last_use = {reference[:2]: at for at, (_, reference) in enumerate(planned)}
    waiting: list[list[tuple[int, Delivery]]] = [[] for _ in range(spec.batch_size // block_rows)]
    for at, (epoch, reference) in enumerate(planned):
        position = first + at
        step, index = divmod(position, spec.batch_size)
        lane = index // block_rows
        waiting[lane].append((position, source.deliver(position, epoch, reference)))
        if last_use[reference[:2]] == at:
            source.drop(reference[:2])
        last_step = step + 1 == stop_step or (step + 1 - start_step) % steps_together == 0
        if last_step and (index + 1) % block_rows == 0:
            yield _block(waiting[lane], lane, spec.batch_size)
            waiting[lane] = []


def _block(delivered: list[tuple[int, Delivery]], lane: int, batch_size: int) -> Block:
    """
    Args:
        delivered: samples with their positions in the stream.
    """
    steps, indices = np.divmod([position for position, _ in delivered], batch_size)
    deliveries = [delivery for _, delivery in delivered]
    samples = [delivery.sample for delivery in deliveries]
    block: Block = {
        "composite": np.stack([sample.composite for sample in samples]),
        "ground_truth": np.stack([sample.ground_truth for sample in samples]),
        "foreground_mask": np.stack([sample.foreground_mask for sample in samples]),
        "id": np.array([sample.id for sample in samples]),
        "epoch": np.array([delivery.epoch for delivery in deliveries]),
        "step": steps,
        "lane": np.full(len(samples), lane),
        "index": indices,
        "quarantined": np.array([d.quarantined.to_json() if d.quarantined else "" for d in deliveries]),
    }
    styles = [s.composite_style for s in samples if s.composite_style is not None]
    if styles:
        block["composite_style"] = np.stack(styles)
        block["ground_truth_style"] = np.array([s.ground_truth_style for s in samples])
    return block
