"""Reading the row groups of a stream."""

from __future__ import annotations

from collections.abc import Callable

from charmnet.errors import DataError, StorageError
from pipelines.ingest.samples import Reference, RowGroupSamples
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.retry import retry_storage


class RowGroupReader:
    """Row groups by index, each kept in memory until it is dropped.

    Reads are retried while the store does not answer. A row group that two reads find damaged, in a file of
    the size that the manifest says, counts as damaged data: its samples are replaced. A file of another size
    is not the shard, and the stream ends with an error.

    Args:
        spec: the stream.
        notify: called with a message while the store does not answer.
    """

    def __init__(self, spec: StreamSpec, notify: Callable[[str], object] | None = None) -> None:
        self._spec = spec
        self._notify = notify
        self._held: dict[tuple[int, int], RowGroupSamples | DataError] = {}

    @property
    def num_held(self) -> int:
        """Number of row groups in memory."""
        return len(self._held)

    def samples(self, shard: int, group: int) -> RowGroupSamples:
        """Return the samples of a row group, read if they are not in memory.

        Raises:
            DataError: the row group is damaged.
            StorageError: the shard is gone, is another file, or its store does not answer.
        """
        if (shard, group) not in self._held:
            self._held[shard, group] = self._read_twice(shard, group)
        held = self._held[shard, group]
        if isinstance(held, DataError):
            raise held
        return held

    def sample_id(self, reference: Reference) -> str:
        """Return a sample's id; of a damaged row group from the column of ids, or else `reference_name`."""
        shard, group, offset = reference
        try:
            if isinstance(self._held.get((shard, group)), DataError):
                return self._read(shard, group, ids_only=True).id(offset)
            return self.samples(shard, group).id(offset)
        except DataError:
            return self._spec.union.reference_name(reference)

    def drop(self, shard: int, group: int) -> None:
        """Free a row group's memory; it is read again if it is needed for a substitute."""
        self._held.pop((shard, group), None)

    def _read_twice(self, shard: int, group: int) -> RowGroupSamples | DataError:
        """Return the samples, or the error of the second read."""
        try:
            return self._read(shard, group)
        except DataError:
            self._check_bytes(shard)
        try:
            return self._read(shard, group)
        except DataError as error:
            return error

    def _read(self, shard: int, group: int, *, ids_only: bool = False) -> RowGroupSamples:
        spec = self._spec
        return retry_storage(
            lambda: spec.union.read_row_group(
                shard, group, spec.selection, ids_only=ids_only, colors=() if ids_only else spec.colors
            ),
            spec.timeout_seconds,
            self._notify,
        )

    def _check_bytes(self, shard_index: int) -> None:
        """Refuse a file that has another size than the manifest says."""
        shard = self._spec.union.shard(shard_index)
        size_bytes = retry_storage(shard.location.size_bytes, self._spec.timeout_seconds, self._notify)
        if size_bytes != shard.entry.bytes:
            raise StorageError(
                f"{shard.location}: {size_bytes:,} bytes, the manifest says {shard.entry.bytes:,}: not the "
                "shard that it was; restore it or shard the data again"
            )
