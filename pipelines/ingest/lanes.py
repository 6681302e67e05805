"""Handing a domain's stream to the workers of a Ray Train group: one shared Ray Data execution per domain.

A global batch is cut into *lanes* of equal size. The execution yields packed blocks, each with one lane's
samples of a few steps, lane by lane, and worker r of N takes the blocks r, r + N, r + 2N, ... Ray's
documentation does not promise that order, so every row carries its step and lane, and the worker checks them.
The first worker begins the execution and owns it: both end together. A group that restarts or changes its
size begins another execution, whose lanes are cut for the new number of workers, while every global batch
keeps its samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from charmnet.errors import DataError
from pipelines.ingest.execution import TaskResources, stream_dataset
from pipelines.ingest.quarantine_client import QuarantineClient
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.blocks import Block, unpack_block

_MAX_POOLS = 512  # of one execution; making the list of its windows costs about a millisecond each
_PREFETCHED_BLOCKS = 2


def lane_rows(batch_size: int, num_workers: int, smallest_share: int = 2) -> int:
    """Return the samples of one lane: the largest divisor of the batch that gives every worker its share.

    Args:
        batch_size: samples of one global batch.
        num_workers: number of workers.
        smallest_share: fewest samples of a step that a worker may get.

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


@dataclass(frozen=True)
class LaneShard:
    """One worker's share of a domain's stream.

    Attributes:
        spec: the stream.
        rank: rank of the worker.
        num_workers: number of workers of the group.
        resources: CPUs for the data tasks.
        quarantine: client of the run's quarantine; see `stream_dataset`.
        broadcast: gives every worker the value that the first one passes, once all have called it.
    """

    spec: StreamSpec
    rank: int
    num_workers: int
    resources: TaskResources = field(default_factory=TaskResources)
    quarantine: QuarantineClient | None = None
    broadcast: Callable[[Any], Any] = lambda splits: splits

    def steps(self, start_step: int, stop_step: int) -> Iterator[Block]:
        """Yield this worker's rows of every global batch, step by step; all workers call it at once.

        Raises:
            DataError: Ray delivered another block than the plan says.
        """
        # Opened here and not with the first block, so that all domains start together.
        return self._executions(start_step, stop_step, self._open(start_step, stop_step))

    @property
    def _lane_rows(self) -> int:
        return lane_rows(self.spec.batch_size, self.num_workers, self.spec.smallest_share)

    def _executions(self, start_step: int, stop_step: int, tables: Iterator[pa.Table]) -> Iterator[Block]:
        while start_step < stop_step:
            stop = self._execution_end(start_step, stop_step)
            yield from self._execution(start_step, stop, tables)
            start_step = stop
            tables = self._open(start_step, stop_step)

    def _execution_end(self, start_step: int, stop_step: int) -> int:
        execution_steps = self.spec.pool_steps * _MAX_POOLS
        return min(start_step - start_step % execution_steps + execution_steps, stop_step)

    def _open(self, start_step: int, stop_step: int) -> Iterator[pa.Table]:
        """Return this worker's packed blocks of the execution that begins at a step."""
        if start_step == stop_step:
            return iter(())
        splits = None
        if self.rank == 0:
            end = self._execution_end(start_step, stop_step)
            dataset = stream_dataset(
                self.spec, start_step, end, self._lane_rows, self.resources, self.quarantine
            )
            splits = dataset.streaming_split(self.num_workers, equal=False)
        batches = self.broadcast(splits)[self.rank].iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=_PREFETCHED_BLOCKS
        )
        return iter(batches)

    def _execution(self, start_step: int, stop_step: int, tables: Iterator[pa.Table]) -> Iterator[Block]:
        rows = self._lane_rows
        lanes = self.spec.batch_size // rows
        step = start_step  # that the next blocks begin with
        first = 0  # number, since the execution's start, of the first block that begins with this step
        index = self.rank  # number of this worker's next block
        while step < stop_step:
            own_blocks: list[Block] = []
            while index < first + lanes:
                table = next(tables, None)
                block = None if table is None else unpack_block(table)
                own_blocks.append(checked(block, self.spec, step, index % lanes, rows))
                index += self.num_workers
            steps = {len(block["step"]) // rows for block in own_blocks}
            if len(steps) > 1:
                raise _order_error(self.spec, f"blocks of {sorted(steps)} steps side by side")
            names = own_blocks[0].keys()
            for start in range(0, len(own_blocks[0]["step"]), rows):
                # The arrays are views of the object store: concatenating copies them out.
                yield {
                    name: np.concatenate([block[name][start : start + rows] for block in own_blocks])
                    for name in names
                }
            step += steps.pop()
            first += lanes


def checked(block: Block | None, spec: StreamSpec, step: int, lane: int, rows: int) -> Block:
    """Return the block, if it has `rows` rows of a lane for each of its steps, from `step` on.

    Raises:
        DataError: it is another block, or there is none.
    """
    if block is None:
        raise _order_error(spec, f"nothing for step {step} of lane {lane}")
    count = len(block["step"])
    expected_steps = step + np.arange(count) // rows
    if not count or count % rows or (block["step"] != expected_steps).any() or (block["lane"] != lane).any():
        got = sorted(set(zip(block["step"].tolist(), block["lane"].tolist(), strict=True)))
        expected = f"{rows} rows for each step from {(step, lane)} on"
        raise _order_error(spec, f"{count} rows of (step, lane) {got}, expected {expected}")
    return block


def _order_error(spec: StreamSpec, got: str) -> DataError:
    return DataError(
        f"the {spec.domain} stream delivered {got}: Ray Data's order is not the plan's; check that this "
        "release of Ray is the lock file's"
    )
