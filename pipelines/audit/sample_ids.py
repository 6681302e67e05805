"""The ids of an epoch's samples, as hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from charmnet.errors import DataError
from pipelines.ingest.samples import id_columns, sample_ids
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.concurrency import read_ahead
from pipelines.shards.manifest import Container


class SampleIds:
    """Hashes of the ids of an epoch's samples, by their numbers in the stream's `SampleTable`.

    They are read from the shards' columns of ids. An archive would have to be fetched whole for its ids:
    there the first delivery of a sample tells its id, and later deliveries have to agree.

    Attributes:
        samples: the samples of an epoch.
        hashes: [N] 64-bit hash of each sample's id; 0 is not known yet.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.samples = spec.sample_table()
        self.hashes: NDArray[np.uint64] = np.zeros(self.samples.num_samples, np.uint64)
        self._sorted: NDArray[np.int64] | None = None
        shards = [
            shard
            for shard in range(spec.union.num_shards)
            if spec.union.shard(shard).dataset.manifest.container is Container.PARQUET
        ]
        for shard, ids in zip(shards, read_ahead(self._shard_ids, shards), strict=True):
            if ids is not None:
                self.hashes[self.samples.shard_numbers(shard)] = hashes_of(ids)

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the numbers of the samples with these hashes; -1 where there is none."""
        if self._sorted is None:  # only needed for ids that the plan does not have where they are logged
            self._sorted = np.argsort(self.hashes)
        ranks = np.searchsorted(self.hashes, hashes, sorter=self._sorted).clip(max=len(self.hashes) - 1)
        numbers = self._sorted[ranks]
        return np.where(self.hashes[numbers] == hashes, numbers, -1)

    def name(self, number: int) -> str:
        """Return a sample's id, or where the sample lies if its id cannot be read."""
        shard, group, offset = self.samples.reference(number)
        union = self._spec.union
        try:
            return union.read_row_group(shard, group, self._spec.selection, ids_only=True).id(offset)
        except DataError:
            return union.reference_name((shard, group, offset))

    def _shard_ids(self, shard: int) -> list[str] | None:
        """Return the ids of a shard's samples; None where the columns cannot be read whole."""
        member = self._spec.union.shard(shard)
        dataset = member.dataset
        kind = dataset.manifest.kind
        try:
            table = dataset.read_columns(member.index, id_columns(kind))
        except DataError:
            return None
        ids = sample_ids(table, kind, dataset.selected_rows(table, self._spec.selection))
        chosen = self.samples.chosen_of_shard(shard, ids)
        return None if chosen is None else [member.prefix + sample_id for sample_id in chosen]


def hashes_of(ids: Iterable[str]) -> NDArray[np.uint64]:
    """Return a hash of 64 bits for each id, never 0."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in ids)
    return np.maximum(np.frombuffer(digests, np.uint64), np.uint64(1))
