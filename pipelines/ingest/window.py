"""Reading a window of training steps: the work of one Ray Data task."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from pipelines.ingest.sample_fetcher import FetchedSample, SampleFetcher
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.blocks import Block


def read_window(
    spec: StreamSpec,
    start_step: int,
    stop_step: int,
    block_rows: int,
    fetcher: SampleFetcher | None = None,
    steps_together: int = 1,
) -> Iterator[Block]:
    """Yield the samples of a read window in the order of the plan: each step's lanes, one after the other.

    Args:
        spec: the stream.
        start_step: first step of the window, counted from 0.
        stop_step: step after the window's last one.
        block_rows: samples of one lane in one step.
        fetcher: fetches the samples; None for one without known crashes.
        steps_together: number of steps whose samples of a lane form one block; the window's last blocks may
            hold fewer.

    Yields:
        Arrays by name, of the R samples of one lane at the training size S:
        composite: [R,S,S,3] uint8.
        ground_truth: [R,S,S,3] uint8.
        foreground_mask: [R,S,S] uint8: 0 and 1 = foreground, or its coverage from 0 to 255 where the spec's
            `mask_edges` is `soft`.
        id: [R] str.
        step: [R] int64, counted from 0.
        lane: [R] int64.
        index: [R] int64, place in the global batch.
        epoch: [R] int64, counted from 0.
        quarantined: [R] str: a `Quarantined` as JSON where the sample is a substitute, else empty.
        composite_style: [R,10] float32; only where all data sets of the stream are rendered.
        ground_truth_style: [R] int64; only where all data sets of the stream are rendered.

    Raises:
        DataError: neither a sample nor any of its substitutes can be decoded; names the sample.
        StorageError: a shard cannot be read; names the shard.
    """
    cv2.setNumThreads(0)  # tasks are the parallelism
    fetcher = fetcher or SampleFetcher(spec)
    first = start_step * spec.batch_size
    planned = [
        (run.epoch, (shard, group, offset))
        for run in spec.plan.runs(first, stop_step * spec.batch_size)
        for shard, group, offset in run.references.tolist()
    ]
    last_use = {reference[:2]: number for number, (_, reference) in enumerate(planned)}
    waiting: list[list[tuple[int, FetchedSample]]] = [[] for _ in range(spec.batch_size // block_rows)]
    for number, (epoch, reference) in enumerate(planned):
        position = first + number
        step, index = divmod(position, spec.batch_size)
        lane = index // block_rows
        waiting[lane].append((position, fetcher.fetch(position, epoch, reference)))
        if last_use[reference[:2]] == number:
            fetcher.reader.drop(*reference[:2])
        last_step = step + 1 == stop_step or (step + 1 - start_step) % steps_together == 0
        if last_step and (index + 1) % block_rows == 0:
            yield _block(waiting[lane], lane, spec)
            waiting[lane] = []


def _block(positioned: list[tuple[int, FetchedSample]], lane: int, spec: StreamSpec) -> Block:
    """Stack samples, given with their positions in the stream."""
    steps, indices = np.divmod([position for position, _ in positioned], spec.batch_size)
    fetched = [sample for _, sample in positioned]
    samples = [entry.sample for entry in fetched]
    block: Block = {
        "composite": np.stack([sample.composite for sample in samples]),
        "ground_truth": np.stack([sample.ground_truth for sample in samples]),
        "foreground_mask": np.stack([sample.foreground_mask for sample in samples]),
        "id": np.array([sample.id for sample in samples]),
        "epoch": np.array([entry.epoch for entry in fetched]),
        "step": steps,
        "lane": np.full(len(samples), lane),
        "index": indices,
        "quarantined": np.array([e.quarantined.to_json() if e.quarantined else "" for e in fetched]),
    }
    if spec.union.has_styles:
        styles = [s.composite_style for s in samples if s.composite_style is not None]
        block["composite_style"] = np.stack(styles)
        block["ground_truth_style"] = np.array([s.ground_truth_style for s in samples])
    return block
