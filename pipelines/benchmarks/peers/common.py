"""What the peers share: rows, the released augmentation by the released libraries, and the measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
import psutil

SIZE, BATCH_SIZE, WARM_ROWS = 256, 8, 32

Row = dict[str, bytes]
"""Encoded `composite`, `ground_truth` and `mask`."""


@cache
def _augmentation() -> Any:
    import albumentations

    return albumentations.Compose(
        [
            albumentations.RandomResizedCrop((SIZE, SIZE), scale=(0.5, 1.0)),
            albumentations.HorizontalFlip(p=0.5),
        ],
        additional_targets={"ground_truth": "image"},
    )


def sample(row: Row) -> dict[str, np.ndarray]:
    """Decodes in full with OpenCV, and crops again while there is no foreground: the released loader."""
    cv2.setNumThreads(0)
    composite, ground_truth = (_rgb(row[name]) for name in ("composite", "ground_truth"))
    mask = (_rgb(row["mask"])[..., 0] == 255).astype(np.uint8)
    while True:
        made = _augmentation()(image=composite, ground_truth=ground_truth, mask=mask)
        if made["mask"].sum() > 1:
            return {"composite": made["image"], "ground_truth": made["ground_truth"], "mask": made["mask"]}


def _rgb(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def s3() -> Any:
    """A client of the store that the environment names, one a process, also where a loader forked it."""
    return _s3(os.getpid())


@cache
def _s3(_: int) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def read(uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3().get_object(Bucket=bucket, Key=key)["Body"].read()


def measured(batches: Callable[[int], Iterable[Any]], rows: int) -> dict[str, float]:
    """Rows per second and CPU milliseconds per row, over the whole process tree, after a short run.

    Args:
        batches: makes a new iterable over so many rows.
    """
    _take(batches(WARM_ROWS), WARM_ROWS)
    cpu, started = cpu_seconds(), time.perf_counter()
    iterator = iter(batches(rows))
    _take(iterator, rows)
    cpu, seconds = cpu_seconds() - cpu, time.perf_counter() - started
    return {"rows_per_second": rows / seconds, "cpu_ms_per_row": 1000 * cpu / rows}


def _take(batches: Iterable[Any], rows: int) -> None:
    taken = 0
    for batch in batches:
        assert tuple(batch["composite"].shape[1:]) == (SIZE, SIZE, 3)
        taken += len(batch["composite"])
        if taken >= rows:
            return
    raise SystemExit(f"{taken} rows came, expected {rows}")


def cpu_seconds() -> float:
    """Of this process and all its descendants, those that ended included."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:  # it has just ended; its parent counts it
            continue
    return total


def endless(items: list[Any], rows: int) -> Iterator[Any]:
    """So many of some items in a new order each time round."""
    rng = np.random.default_rng(0)
    while rows > 0:
        for index in rng.permutation(len(items))[:rows]:
            yield items[index]
        rows -= len(items)


def parquet_rows(shards: str) -> Iterator[Row]:
    """The pictures of the project's pair shards, for peers to put into their own formats."""
    import pyarrow.dataset
    import pyarrow.fs

    filesystem = pyarrow.fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
    columns = {"composite": "composite", "ground_truth": "ground_truth", "mask": "foreground_mask"}
    selector = pyarrow.fs.FileSelector(shards.removeprefix("s3://"))
    paths = [f.path for f in filesystem.get_file_info(selector) if f.path.endswith(".parquet")]
    dataset = pyarrow.dataset.dataset(paths, filesystem=filesystem, format="parquet")
    for batch in dataset.to_batches(columns=list(columns.values()), batch_size=16):
        for row in batch.to_pylist():
            yield {name: row[column] for name, column in columns.items()}


def upload(folder: str, uri: str) -> None:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    for root, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(root, name)  # noqa: PTH118
            s3().upload_file(path, bucket, f"{prefix}/{os.path.relpath(path, folder)}")
