"""What shards take and what reading them fetches: bytes a pair, and how often a row group is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.fs

from pipelines.benchmarks.ingest_data import Data
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import PAIRS_PER_SCENE

_TIMES_LARGER = 50
_EPOCHS = 3


def storage_figures(data: Data, batch_size: int) -> dict[str, float]:
    """Scene shards against composites as files and in pair shards; real reads of an epoch each."""
    scenes, pairs = (Dataset.open(data.shards(name)) for name in ("scenes", "pairs"))
    files = data.files("renders")
    sizes = {
        kind: sum((files / path).size_bytes() for path in files.walk_files() if f"/{kind}/" in f"/{path}")
        for kind in ("composite_images", "real_images", "masks")
    }
    composite = sizes["composite_images"] / pairs.manifest.rows
    shared = (sizes["real_images"] + sizes["masks"]) / (scenes.manifest.rows * PAIRS_PER_SCENE)
    stored = scenes.manifest.bytes / (scenes.manifest.rows * PAIRS_PER_SCENE)
    read = {
        name: _read_an_epoch(dataset, batch_size) for name, dataset in (("scenes", scenes), ("pairs", pairs))
    }
    return {
        "stored_bytes_per_possible_pair": stored,
        "file_bytes_per_possible_pair": composite + shared,
        "stored_ratio": stored / (composite + shared),
        **{f"read_bytes_per_sample_{name}": bytes_ for name, bytes_ in read.items()},
        "read_ratio": read["scenes"] / read["pairs"],
        "fetched_ratio": fetched_ratio(_enlarged(scenes), batch_size),
        "fetched_ratio_pairs": fetched_ratio(_enlarged(pairs), batch_size),
    }


def fetched_ratio(dataset: Dataset, batch_size: int) -> float:
    """Row groups that the windows of three epochs fetch over those that three epochs have."""
    spec = StreamSpec(dataset, batch_size)
    steps = _EPOCHS * spec.plan.num_samples // batch_size
    windows = spec.windows(0, steps)
    fetched = sum(len(spec.plan.row_groups(a * batch_size, b * batch_size)) for a, b in windows)
    row_groups = sum(len(c.row_groups) for c in spec.plan.classes)
    return fetched / (row_groups * steps * batch_size / spec.plan.num_samples)


def _enlarged(dataset: Dataset) -> Dataset:
    """A plan's data set of many such shards; nothing of it can be read."""
    manifest = dataset.manifest
    return Dataset(dataset.location, replace(manifest, shards=tuple(manifest.shards) * _TIMES_LARGER))


def _read_an_epoch(dataset: Dataset, batch_size: int) -> float:
    """Bytes asked of the store for a training sample, over an epoch."""
    spec = StreamSpec(dataset, batch_size)
    steps = spec.plan.num_samples // batch_size
    with counted_reads() as count:
        for start, stop in spec.windows(0, steps):
            for place in spec.plan.row_groups(start * batch_size, stop * batch_size):
                dataset.read_row_group(*place)  # as the window's task does, once each
    return count["bytes"] / (steps * batch_size)


@contextmanager
def counted_reads() -> Iterator[dict[str, int]]:
    """Counts what this process reads with Arrow while inside."""
    count, plain = {"bytes": 0}, Location.arrow

    def counting(place: Location) -> tuple[pyarrow.fs.FileSystem, str]:
        filesystem, path = plain(place)
        return pyarrow.fs.PyFileSystem(_CountingHandler(filesystem, count)), path

    Location.arrow = counting  # type: ignore[method-assign, assignment]
    try:
        yield count
    finally:
        Location.arrow = plain  # type: ignore[method-assign]


class _CountingHandler(pyarrow.fs.FSSpecHandler):
    """Only opens files to read."""

    def __init__(self, filesystem: pyarrow.fs.FileSystem, count: dict[str, int]) -> None:
        self.filesystem, self.count = filesystem, count

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(_CountingFile(self.filesystem.open_input_file(path), self.count), mode="r")


class _CountingFile:
    def __init__(self, file: Any, count: dict[str, int]) -> None:
        self._file, self._count = file, count

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._count["bytes"] += len(data)
        return data

    def read_buffer(self, size: int | None = None) -> pa.Buffer:
        """What Arrow calls where a file has it."""
        data = self._file.read_buffer(size)
        self._count["bytes"] += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
