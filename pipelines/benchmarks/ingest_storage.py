"""Bytes that shards take and that reading them fetches, and how often a row group is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipelines.benchmarks.ingest_data import IngestData
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import PAIRS_PER_SCENE

_TIMES_LARGER = 50
_EPOCHS = 3


def storage_figures(data: IngestData, batch_size: int) -> dict[str, float]:
    """Compare scene shards with composites as files and in pair shards; an epoch of each is read."""
    scenes = Dataset.open(data.shards("scenes"))
    pairs = Dataset.open(data.shards("pairs"))
    files = data.files("renders")
    sizes = {
        kind: sum((files / path).size_bytes() for path in files.walk_files() if f"/{kind}/" in f"/{path}")
        for kind in ("composite_images", "real_images", "masks")
    }
    possible_pairs = scenes.manifest.rows * PAIRS_PER_SCENE
    composite_bytes = sizes["composite_images"] / pairs.manifest.rows
    shared_bytes = (sizes["real_images"] + sizes["masks"]) / possible_pairs
    stored_bytes = scenes.manifest.bytes / possible_pairs
    scene_read_bytes = _read_bytes_per_sample(scenes, batch_size)
    pair_read_bytes = _read_bytes_per_sample(pairs, batch_size)
    return {
        "stored_bytes_per_possible_pair": stored_bytes,
        "file_bytes_per_possible_pair": composite_bytes + shared_bytes,
        "stored_ratio": stored_bytes / (composite_bytes + shared_bytes),
        "read_bytes_per_sample_scenes": scene_read_bytes,
        "read_bytes_per_sample_pairs": pair_read_bytes,
        "read_ratio": scene_read_bytes / pair_read_bytes,
        "fetched_ratio": fetched_ratio(_enlarged(scenes), batch_size),
        "fetched_ratio_pairs": fetched_ratio(_enlarged(pairs), batch_size),
    }


def fetched_ratio(dataset: Dataset, batch_size: int) -> float:
    """Return the row groups that the windows of three epochs fetch, over those of three epochs."""
    spec = StreamSpec(dataset, batch_size)
    steps = _EPOCHS * spec.plan.num_samples // batch_size
    fetched = sum(
        len(spec.plan.row_groups(start * batch_size, stop * batch_size))
        for start, stop in spec.windows(0, steps)
    )
    row_groups = sum(len(shuffle_class.row_groups) for shuffle_class in spec.plan.classes)
    return fetched / (row_groups * steps * batch_size / spec.plan.num_samples)


def _enlarged(dataset: Dataset) -> Dataset:
    """Return a data set of many such shards, for planning only: its shards cannot be read."""
    manifest = dataset.manifest
    return Dataset(dataset.location, replace(manifest, shards=tuple(manifest.shards) * _TIMES_LARGER))


def _read_bytes_per_sample(dataset: Dataset, batch_size: int) -> float:
    """Return the bytes that are asked of the store for a training sample, over an epoch."""
    spec = StreamSpec(dataset, batch_size)
    steps = spec.plan.num_samples // batch_size
    with counted_reads() as counter:
        for start, stop in spec.windows(0, steps):
            for shard, group in spec.plan.row_groups(start * batch_size, stop * batch_size):
                dataset.read_row_group(shard, group)  # as the window's task does, once each
    return counter.bytes / (steps * batch_size)


class ReadCounter:
    """Number of bytes that were read."""

    def __init__(self) -> None:
        self.bytes = 0


@contextmanager
def counted_reads() -> Iterator[ReadCounter]:
    """Count the bytes that this process reads with Arrow inside the context."""
    counter = ReadCounter()
    plain = Location.random_access

    def counting(location: Location) -> pa.NativeFile:
        return pa.PythonFile(_CountingFile(plain(location), counter), mode="r")

    Location.random_access = counting  # type: ignore[method-assign, assignment]
    try:
        yield counter
    finally:
        Location.random_access = plain  # type: ignore[method-assign]


class _CountingFile:
    def __init__(self, file: Any, counter: ReadCounter) -> None:
        self._file = file
        self._counter = counter

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._counter.bytes += len(data)
        return data

    def read_buffer(self, size: int | None = None) -> pa.Buffer:
        """Read into a buffer: Arrow calls it where a file has it."""
        data = self._file.read_buffer(size)
        self._counter.bytes += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
