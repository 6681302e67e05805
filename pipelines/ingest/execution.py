"""A stream's steps as a Ray Data execution: one data task for each read window."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

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
from pipelines.runtime.blocks import Block, pack_block

_BLOCK_SAMPLES = 64  # of all lanes' blocks for the same steps; a task holds as many decoded samples
_MIN_BYTES_AHEAD = 128 * 1024 * 1024
_TASK_BYTES_AHEAD = 128 * 1024 * 1024  # a task makes so many bytes before it waits for a block to be taken
_MAX_BLOCKS_IN_FLIGHT = 8
_TASKS_SHARE_AHEAD = 0.75  # of a limit on memory; Ray Data keeps the rest for blocks that are handed on
_BYTES_PER_PIXEL = 7  # composite, ground truth, mask


@dataclass(frozen=True)
class TaskResources:
    """CPUs for the data tasks of one domain.

    Attributes:
        num_cpus: CPUs that Ray sets aside for a task; may be a fraction or 0.
        max_cpus: CPUs for all tasks together, or their number where tasks set none aside; None is no bound.
            A finished block waits until it is taken, and its task keeps its CPUs: without a bound one domain
            could take them all, and workers would wait for the other domain for ever.
        amounts: of other resources of its node that a task takes, by their names.
        labels: of the nodes that tasks may run on.
    """

    num_cpus: float = 1.0
    max_cpus: float | None = None
    amounts: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def tasks_at_once(self) -> int:
        """Return how many tasks fit at the moment into a cluster that may grow."""
        if not self.num_cpus:
            return int(self.max_cpus or 1)
        cpus = self.max_cpus or ray.cluster_resources().get("CPU", 1.0)
        return max(1, int(cpus // self.num_cpus))


def steps_per_block(batch_size: int) -> int:
    """Return the number of steps whose samples travel in one block; a window's last blocks may have fewer.

    A block costs Ray the same few milliseconds whatever is in it.
    """
    return max(1, _BLOCK_SAMPLES // batch_size)


def stream_dataset(
    spec: StreamSpec,
    start_step: int,
    stop_step: int,
    block_rows: int,
    resources: TaskResources,
    quarantine: QuarantineClient | None = None,
) -> ray.data.Dataset:
    """Return the steps start_step..stop_step-1 as a Ray Data set of packed blocks, in the order of the plan.

    Args:
        spec: the stream.
        start_step: first step, counted from 0.
        stop_step: step after the last one.
        block_rows: samples of one lane in one step.
        resources: CPUs for the tasks.
        quarantine: client of the run's quarantine; without one, Ray restarts the task of a picture that
            crashes the decoder for ever.
    """
    windows = spec.windows(start_step, stop_step)
    spec_reference = ray.put(spec)  # a manifest may be large: once for all tasks
    execution = uuid.uuid4().hex
    together = steps_per_block(spec.batch_size)

    def read(batch: dict[str, Any]) -> Iterator[pa.Table]:
        shared = _get_cached(spec_reference)
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
    dataset = listed.map_batches(
        read,
        batch_size=None,
        num_cpus=resources.num_cpus,
        compute=pool,
        resources=dict(resources.amounts) or None,
        label_selector=dict(resources.labels) or None,
    )
    _configure_context(dataset.context, blocks_in_flight(spec, block_rows))
    dataset.context.execution_options.resource_limits = ray.data.ExecutionResources.for_limits(
        cpu=resources.max_cpus if resources.num_cpus else None,
        object_store_memory=bytes_ahead(spec, windows, block_rows, tasks),
    )
    return dataset


@lru_cache(maxsize=4)
def _get_cached(reference: ray.ObjectRef[StreamSpec]) -> StreamSpec:
    """Return the spec behind a reference, unpickled (and its plan made) once a process, not once a task."""
    spec: StreamSpec = ray.get(reference)
    return spec


def _configure_context(context: ray.data.DataContext, blocks_in_flight: int) -> None:
    """Change a stream's own copy of Ray Data's context.

    Args:
        context: the copy.
        blocks_in_flight: number of blocks that a task may make before one is taken.
    """
    context.target_max_block_size = 1  # byte: every row, which is a packed block, is a block of its own
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A consumer that validates or writes a checkpoint pauses the stream; that is no reason to end it.
    context.execution_no_progress_timeout_s = -1
    # Waiting blocks are bounded by `bytes_ahead`; half of that would already keep tasks from starting.
    context.downstream_capacity_backpressure_ratio = None
    context.custom_execution_callback_classes = [IdleThrottle]  # type: ignore[list-item]  # has its methods
    context._max_num_blocks_in_streaming_gen_buffer = blocks_in_flight  # noqa: SLF001 - no public counterpart
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
    """Return how many bytes of decoded data may wait for the workers.

    The bound follows from what the tasks make, not from the machine's memory. Blocks are handed on in order:
    so that all tasks work, each must have room for the blocks that it makes ahead of its turn. These are the
    blocks that it holds itself, and on average half of a window that was taken from it.

    Args:
        spec: the stream.
        windows: (first step, step after the last) of the execution's read windows.
        block_rows: samples of one lane in one step.
        tasks: number of tasks that run at the same time.
    """
    window_samples = (windows[-1][1] - windows[0][0]) / len(windows) * spec.batch_size
    held = tasks * blocks_in_flight(spec, block_rows) * _block_bytes(spec, block_rows)
    taken = (tasks - 1) / 2 * window_samples * _sample_bytes(spec)
    return max(math.ceil((held + taken) / _TASKS_SHARE_AHEAD), _MIN_BYTES_AHEAD)


def blocks_in_flight(spec: StreamSpec, block_rows: int) -> int:
    """Return how many blocks a task may make before one is taken.

    With the two that Ray allows, a task may wait half of the time.
    """
    return max(2, min(_MAX_BLOCKS_IN_FLIGHT, _TASK_BYTES_AHEAD // _block_bytes(spec, block_rows)))


def _block_bytes(spec: StreamSpec, block_rows: int) -> int:
    return block_rows * steps_per_block(spec.batch_size) * _sample_bytes(spec)


def _sample_bytes(spec: StreamSpec) -> int:
    return spec.size * spec.size * _BYTES_PER_PIXEL
