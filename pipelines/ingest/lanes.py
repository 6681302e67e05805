"""Handing a domain's stream to the workers of a Ray Train group: one shared Ray Data execution per domain.

A global batch is cut into *lanes*, blocks of equal size. The execution yields them in blocks, each of one
lane's for a few steps, lane by lane, and split r of N gets the blocks r, r + N, r + 2N, ...; that order is
not promised by Ray's documentation, so every row carries its step and lane and the worker checks them. The
first worker begins the execution and owns it: both end together. A group that restarts or changes its size
begins another, whose lanes are cut for the new number of workers, while every global batch keeps its samples.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import TaskPoolStrategy

from charmnet.errors import CharmNetError, DataError
from pipelines.ingest.quarantine_client import QuarantineClient
from pipelines.ingest.row_group_reader import RowGroupReader
from pipelines.ingest.sample_decoder import SampleDecoder
from pipelines.ingest.sample_fetcher import SampleFetcher
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.throttle import IdleThrottle
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block, pack_block, unpack_block

_BLOCK_SAMPLES = 64  # of all lanes in blocks of one size: a task holds as many decoded samples
_MAX_POOLS = 512  # of one execution; making the list of its windows costs about a millisecond each
_PREFETCHED_BLOCKS = 2
_LEAST_BYTES_AHEAD = 128 * 1024 * 1024
_TASK_BYTES_AHEAD = 128 * 1024 * 1024  # that a task makes before it rests until some are taken
_MAX_BLOCKS_IN_FLIGHT = 8
_TASKS_SHARE_AHEAD = 0.75  # of a limit on memory; Ray Data keeps the rest for blocks that are handed on
_BYTES_PER_PIXEL = 7  # composite, ground truth, mask


def lane_rows(batch_size: int, num_workers: int, smallest_share: int = 2) -> int:
    """Return the samples of one lane: the largest divisor of the batch that gives every worker its share.

    Raises:
        ValueError: some worker would get fewer than `smallest_share`; says which numbers would work.
    """
    for rows in range(batch_size // num_workers, 0, -1):
        if batch_size % rows == 0 and (batch_size // rows) // num_workers * rows >= smallest_share:
            return rows
    raise ValueError(
        f"batch_size={batch_size} over {num_workers} workers leaves a worker fewer than {smallest_share} "
        f"pairs, which the method needs; use at most {max(1, batch_size // smallest_share)} workers or "
        f"batch_size={num_workers * smallest_share} and more"
    )


def steps_per_block(batch_size: int) -> int:
    """Number of steps whose samples travel in one block; the last block of a window may have fewer.

    A block costs Ray the same few milliseconds whatever is in it.
    """
    return max(1, _BLOCK_SAMPLES // batch_size)


@dataclass(frozen=True)
class TaskResources:
    """CPUs for the data tasks of one domain.

    Attributes:
        num_cpus: CPUs that Ray sets aside for a task; may be a fraction or 0.
        max_cpus: CPUs for all tasks together, or their number where tasks set none aside; None is no bound.
            A finished block waits until it is taken, and its task keeps its CPUs: without a bound one domain
            could take them all, and workers would wait for the other domain for ever.
    """

    num_cpus: float = 1.0
    max_cpus: float | None = None

    def tasks_at_once(self) -> int:
        """Return how many tasks fit at the moment into a cluster that may grow."""
        if not self.num_cpus:
            return int(self.max_cpus or 1)
        cpus = self.max_cpus or ray.cluster_resources().get("CPU", 1.0)
        return max(1, int(cpus // self.num_cpus))


@lru_cache(maxsize=4)
def _shared(reference: Any) -> Any:
    """The object behind a reference, unpickled (and its plan made) once in a process and not once a task."""
    return ray.get(reference)


def stream_dataset(
    spec: StreamSpec,
    start_step: int,
    stop_step: int,
    block_rows: int,
    resources: TaskResources,
    quarantine: QuarantineClient | None = None,
) -> ray.data.Dataset:
    """The steps as a Ray Data set of blocks of lanes of `block_rows` rows, in order.

    Args:
        quarantine: client of the run's quarantine; without one, Ray starts the task of a picture that crashes
            the decoder for ever.
    """
    windows = spec.windows(start_step, stop_step)
    spec_reference = ray.put(spec)  # a manifest may be large: once for all tasks
    execution = uuid.uuid4().hex
    together = steps_per_block(spec.batch_size)

    def read(batch: dict[str, Any]) -> Iterator[pa.Table]:
        shared = _shared(spec_reference)
        for start, stop in zip(batch["start"].tolist(), batch["stop"].tolist(), strict=True):
            if quarantine is None:
                blocks = read_window(shared, start, stop, block_rows, steps_together=together)
            else:
                blocks = _guarded_window(
                    shared, start, stop, block_rows, quarantine, execution=execution, steps_together=together
                )
            yield from map(pack_block, blocks)

    read.__name__ = f"read_{spec.domain}"
    items = [{"start": start, "stop": stop} for start, stop in windows]
    listed = ray.data.from_items(items, override_num_blocks=len(items))
    tasks = resources.tasks_at_once()
    pool = TaskPoolStrategy(None if resources.num_cpus else tasks)
    dataset = listed.map_batches(read, batch_size=None, num_cpus=resources.num_cpus, compute=pool)
    _configure_context(dataset.context, blocks_in_flight(spec, block_rows))
    dataset.context.execution_options.resource_limits = ray.data.ExecutionResources.for_limits(
        cpu=resources.max_cpus if resources.num_cpus else None,
        object_store_memory=bytes_ahead(spec, windows, block_rows, tasks),
    )
    return dataset


def _configure_context(context: ray.data.DataContext, blocks_in_flight: int) -> None:
    """Settings of a stream's own copy of Ray Data's context.

    Args:
        blocks_in_flight: that a task may make before one is taken.
    """
    context.target_max_block_size = 1  # byte: a row, which is a block, is a block of its own
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A consumer that validates or writes a checkpoint pauses the stream; that is no reason to end it.
    context.execution_no_progress_timeout_s = -1
    # How much waits is bounded by `bytes_ahead`; by half of that, tasks would be kept from starting.
    context.downstream_capacity_backpressure_ratio = None
    context.custom_execution_callback_classes = [IdleThrottle]  # type: ignore[list-item]  # has its methods
    context._max_num_blocks_in_streaming_gen_buffer = blocks_in_flight
    context.execution_options.verbose_progress = False
    context.execution_options.preserve_order = True


def _guarded_window(
    spec: StreamSpec,
    start_step: int,
    stop_step: int,
    block_rows: int,
    quarantine: QuarantineClient,
    *,
    execution: str,
    steps_together: int,
) -> Iterator[Block]:
    """Yield from `read_window`; report its beginning, its end and errors to the run's quarantine."""
    lease = quarantine.begin_window(execution, str(spec.domain), start_step)
    decoder = SampleDecoder(
        spec.decode_options,
        lease.known_crashes,
        isolate_decoding=lease.isolate_decoding,
        on_crash=quarantine.add_crash,
    )
    fetcher = SampleFetcher(spec, RowGroupReader(spec, quarantine.notify), decoder)
    with closing(decoder):
        try:
            if lease.refusal:
                raise DataError(lease.refusal)
            yield from read_window(spec, start_step, stop_step, block_rows, fetcher, steps_together)
        except CharmNetError as error:
            quarantine.fail(str(error))
            raise
    quarantine.end_window(execution, start_step)


def bytes_ahead(spec: StreamSpec, windows: list[tuple[int, int]], block_rows: int, tasks: int) -> int:
    """How much decoded data may wait for the workers: by what the tasks make, not a share of the machine's.

    Blocks are handed on in order. So that all tasks work, each must have room for what it makes ahead of its
    turn: what it holds itself, and on average half of a window that was taken from it.
    """
    window_samples = (windows[-1][1] - windows[0][0]) / len(windows) * spec.batch_size
    held = tasks * blocks_in_flight(spec, block_rows) * _block_bytes(spec, block_rows)
    taken = (tasks - 1) / 2 * window_samples * _sample_bytes(spec)
    return max(math.ceil((held + taken) / _TASKS_SHARE_AHEAD), _LEAST_BYTES_AHEAD)


def blocks_in_flight(spec: StreamSpec, block_rows: int) -> int:
    """How many blocks a task may make before one is taken: with Ray's two it may rest half of the time."""
    return max(2, min(_MAX_BLOCKS_IN_FLIGHT, _TASK_BYTES_AHEAD // _block_bytes(spec, block_rows)))


def _block_bytes(spec: StreamSpec, block_rows: int) -> int:
    return block_rows * steps_per_block(spec.batch_size) * _sample_bytes(spec)


def _sample_bytes(spec: StreamSpec) -> int:
    return spec.size * spec.size * _BYTES_PER_PIXEL


@dataclass(frozen=True)
class LaneShard:
    """One worker's share of a domain's stream.

    Attributes:
        num_cpus, max_cpus, quarantine: see `stream_dataset`.
        broadcast: gives every worker the value that the first one passes, once all have called it.
    """

    spec: StreamSpec
    rank: int
    num_workers: int
    resources: TaskResources = TaskResources()
    quarantine: QuarantineClient | None = None
    broadcast: Callable[[Any], Any] = lambda splits: splits

    def steps(self, start_step: int, stop_step: int) -> Iterator[Block]:
        """This worker's rows of every global batch, step by step; all workers call it at once.

        Raises:
            DataError: Ray delivered another block than the plan says.
        """
        # Opened here and not with the first block, so that all domains start together.
        return self._segments(start_step, stop_step, self._open(start_step, stop_step))

    def _segments(self, start_step: int, stop_step: int, tables: Iterator[pa.Table]) -> Iterator[Block]:
        while start_step < stop_step:
            stop = self._segment_end(start_step, stop_step)
            yield from self._segment(start_step, stop, tables)
            start_step = stop
            tables = self._open(start_step, stop_step)

    def _segment_end(self, start_step: int, stop_step: int) -> int:
        segment_steps = self.spec.pool_steps * _MAX_POOLS
        return min(start_step - start_step % segment_steps + segment_steps, stop_step)

    def _open(self, start_step: int, stop_step: int) -> Iterator[pa.Table]:
        """This worker's blocks of the segment that begins at a step."""
        if start_step == stop_step:
            return iter(())
        splits = None
        if self.rank == 0:
            block_rows = lane_rows(self.spec.batch_size, self.num_workers, self.spec.smallest_share)
            end = self._segment_end(start_step, stop_step)
            dataset = stream_dataset(
                self.spec,
                start_step,
                end,
                block_rows,
                self.resources,
                self.quarantine,
            )
            splits = dataset.streaming_split(self.num_workers, equal=False)
        batches = self.broadcast(splits)[self.rank].iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=_PREFETCHED_BLOCKS
        )
        return iter(batches)

    def _segment(self, start_step: int, stop_step: int, tables: Iterator[pa.Table]) -> Iterator[Block]:
        rows = lane_rows(self.spec.batch_size, self.num_workers, self.spec.smallest_share)
        lanes = self.spec.batch_size // rows
        step, first = start_step, 0  # the step that blocks begin with, and the number of its first one
        index = self.rank  # of this rank's next block since the segment's start
        while step < stop_step:
            mine: list[Block] = []
            while index < first + lanes:
                table = next(tables, None)
                block = None if table is None else unpack_block(table)
                mine.append(checked(block, self.spec, step, index % lanes, rows))
                index += self.num_workers
            steps = {len(block["step"]) // rows for block in mine}
            if len(steps) > 1:
                raise _order_error(self.spec, f"blocks of {sorted(steps)} steps side by side")
            for start in range(0, len(mine[0]["step"]), rows):
                # The arrays are views of the object store: concatenating copies them out.
                yield {
                    name: np.concatenate([p[name][start : start + rows] for p in mine]) for name in mine[0]
                }
            step, first = step + steps.pop(), first + lanes


def checked(block: Block | None, spec: StreamSpec, step: int, lane: int, rows: int) -> Block:
    """The block, if it is a lane's from a step on, `rows` rows for each of its steps.

    Raises:
        DataError: it is another, or there is none.
    """
    if block is None:
        raise _order_error(spec, f"nothing for step {step} of lane {lane}")
    count = len(block["step"])
    wanted = step + np.arange(count) // rows
    if not count or count % rows or (block["step"] != wanted).any() or (block["lane"] != lane).any():
        got = sorted(set(zip(block["step"].tolist(), block["lane"].tolist(), strict=True)))
        expected = f"{rows} rows for each step from {(step, lane)} on"
        raise _order_error(spec, f"{count} rows of (step, lane) {got}, expected {expected}")
    return block


def _order_error(spec: StreamSpec, got: str) -> DataError:
    return DataError(
        f"the {spec.domain} stream delivered {got}: Ray Data's order is not the plan's; check that this "
        "release of Ray is the lock file's"
    )
