"""Rows of a data set's splits, shared among the workers, for validation within training.

A store that does not answer is waited for. What cannot be decoded is left out, named and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from charmnet.errors import DataError
from pipelines.evaluation.images import selected_rows
from pipelines.runtime.retry import retry_storage
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.rows import Row
from pipelines.shards.selection import Selection

T = TypeVar("T")


class SplitReader:
    """Reader of a data set's splits.

    Args:
        dataset: data set that holds the splits.
        max_rows: rows of a split that are read at most; 0 is all.
        timeout_seconds: how long the store is waited for.
        notify: called with messages about waiting and about what is left out.
    """

    def __init__(
        self, dataset: Dataset, max_rows: int, timeout_seconds: float, notify: Callable[[str], object] | None
    ) -> None:
        self.dataset = dataset
        self.left_out = 0  # since the caller set it to 0
        self._max_rows = max_rows
        self._timeout_seconds = timeout_seconds
        self._notify = notify
        self._announced: set[str] = set()

    def read(
        self,
        selection: Selection,
        decode: Callable[[Row], Iterator[T]],
        worker: int = 0,
        num_workers: int = 1,
    ) -> Iterator[T]:
        """Yield what `decode` makes of a worker's share of the selected rows, in file order.

        The share is consecutive, so that a worker reads no other's row groups. Rows whose decoding raises
        DataError are left out.
        """
        groups = [
            (shard, group, selected_counts(self.dataset.manifest, row_group, selection)[0])
            for shard, group, row_group in self.dataset.manifest.groups()
        ]
        rows = sum(count for _, _, count in groups)
        rows = min(rows, self._max_rows) if self._max_rows else rows
        start, stop = (rows * (worker + end) // num_workers for end in (0, 1))
        for shard, group, count in groups:
            if count and start < count and stop > 0:
                first, last = max(start, 0), min(stop, count)
                for row in self._rows(selection, shard, group, first, last):
                    yield from self._decoded(row, decode)
            start -= count
            stop -= count

    def _rows(self, selection: Selection, shard: int, group: int, start: int, stop: int) -> Iterator[Row]:
        read = partial(selected_rows, self.dataset, selection, shard, group)
        try:
            rows = retry_storage(read, self._timeout_seconds, self._notify)
        except DataError as error:
            self._leave_out(stop - start, error)
            return
        yield from islice(rows, start, stop)

    def _decoded(self, row: Row, decode: Callable[[Row], Iterator[T]]) -> Iterator[T]:
        try:
            yield from decode(row)
        except DataError as error:
            self._leave_out(1, error)

    def _leave_out(self, rows: int, reason: DataError) -> None:
        self.left_out += rows
        if self._notify is not None and str(reason) not in self._announced:
            self._announced.add(str(reason))
            self._notify(f"left out of validation: {reason}")


def split_selection(split: str) -> Selection:
    """Return the selection of a split by its name."""
    return Selection(f"split == {split!r}")
