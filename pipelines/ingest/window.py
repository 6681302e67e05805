"""Reading a window of training steps: the work of one Ray Data task."""

from __future__ import annotations

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
    def window_steps(self) -> int:
        """Steps that one task makes: about one shuffle pool, so that a row group is fetched about once.

        Of a small data set several epochs, for a task costs more to start than a few samples.
        """
        pool_samples = self.plan.num_samples / self.plan.num_pools
        return max(1, round(max(pool_samples, _MIN_WINDOW_SAMPLES) / self.batch_size))

    def windows(self, start_step: int, stop_step: int) -> list[tuple[int, int]]:
        """[(first step, step after the last)] that cover the steps, cut at multiples of `window_steps`."""
        cuts = range(start_step - start_step % self.window_steps, stop_step, self.window_steps)
        return [(max(cut, start_step), min(cut + self.window_steps, stop_step)) for cut in cuts]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "plan"}  # the plan is remade


def read_window(
    spec: StreamSpec, start_step: int, stop_step: int, block_rows: int, source: SampleSource | None = None
) -> Iterator[Block]:
    """Blocks of `block_rows` samples in the order of the plan: every step's lanes, one after the other.

    Args:
        source: that makes the samples; a plain one if None.

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
    deliveries: list[Delivery] = []
    position = start_step * spec.batch_size
    for run in spec.plan.runs(position, stop_step * spec.batch_size):
        for reference in map(tuple, run.references.tolist()):
            deliveries.append(source.deliver(position, run.epoch, reference))
            position += 1
            if len(deliveries) == block_rows:
                yield _block(deliveries, position - block_rows, spec.batch_size)
                deliveries = []


def _block(deliveries: list[Delivery], position: int, batch_size: int) -> Block:
    """The block whose first sample stands at this position of the stream."""
    samples = [delivery.sample for delivery in deliveries]
    step, first = divmod(position, batch_size)
    block: Block = {
        "composite": np.stack([sample.composite for sample in samples]),
        "ground_truth": np.stack([sample.ground_truth for sample in samples]),
        "foreground_mask": np.stack([sample.foreground_mask for sample in samples]),
        "id": np.array([sample.id for sample in samples]),
        "epoch": np.array([delivery.epoch for delivery in deliveries]),
        "step": np.full(len(samples), step),
        "lane": np.full(len(samples), first // len(samples)),
        "index": np.arange(first, first + len(samples)),
        "quarantined": np.array([d.quarantined.to_json() if d.quarantined else "" for d in deliveries]),
    }
    styles = [s.composite_style for s in samples if s.composite_style is not None]
    if styles:
        block["composite_style"] = np.stack(styles)
        block["ground_truth_style"] = np.array([s.ground_truth_style for s in samples])
    return block
