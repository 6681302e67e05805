"""Rows, augmentation and measurement that all peers share; the augmentation is the released one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pyarrow.dataset
import pyarrow.fs

from charmnet.arrays import UInt8Array
from pipelines.benchmarks.processes import read_tree

SIZE = 256
"""Side of a training picture in pixels."""

BATCH_SIZE = 8
WARM_ROWS = 32

OWN_NAME = "own"
"""This project among the peers."""

Row = dict[str, bytes]
"""Encoded `composite`, `ground_truth` and `mask`."""

T = TypeVar("T")


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


def augmented_sample(row: Row) -> dict[str, UInt8Array]:
    """Decode a row in full with OpenCV and crop it until the crop has foreground: the released loader.

    Returns:
        `composite` and `ground_truth`, [256,256,3]; `mask`, [256,256] of 0 and 1.
    """
    cv2.setNumThreads(0)
    composite = _rgb(row["composite"])
    ground_truth = _rgb(row["ground_truth"])
    mask = (_rgb(row["mask"])[..., 0] == 255).astype(np.uint8)
    while True:
        crop = _augmentation()(image=composite, ground_truth=ground_truth, mask=mask)
        if crop["mask"].sum() > 1:
            return {"composite": crop["image"], "ground_truth": crop["ground_truth"], "mask": crop["mask"]}


def _rgb(data: bytes) -> UInt8Array:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def s3() -> Any:
    """Return a client of the store that the environment names, one for each process, forked ones too."""
    return _s3(os.getpid())


@cache
def _s3(_: int) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def read(uri: str) -> bytes:
    """Return the bytes of an object."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data: bytes = s3().get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def measure_batches(batches: Callable[[int], Iterable[Any]], rows: int) -> dict[str, float]:
    """Return rows per second and CPU milliseconds per row of the whole process tree, after a short run.

    Args:
        batches: makes a new iterable over a number of rows.
        rows: how many are measured.
    """
    _take(batches(WARM_ROWS), WARM_ROWS)
    cpu_before = _tree_cpu_seconds()
    started = time.perf_counter()
    _take(batches(rows), rows)
    cpu_seconds = _tree_cpu_seconds() - cpu_before
    seconds = time.perf_counter() - started
    return {"rows_per_second": rows / seconds, "cpu_ms_per_row": 1000 * cpu_seconds / rows}


def _take(batches: Iterable[Any], rows: int) -> None:
    count = 0
    for batch in batches:
        assert tuple(batch["composite"].shape[1:]) == (SIZE, SIZE, 3)
        count += len(batch["composite"])
        if count >= rows:
            return
    raise SystemExit(f"{count} rows came, expected {rows}")


def _tree_cpu_seconds() -> float:
    """Return the CPU seconds of this process and all its descendants, those that ended included."""
    return sum(read_tree(lambda process: float(sum(process.cpu_times()[:4]))))


def shuffled(items: list[T], count: int) -> Iterator[T]:
    """Yield so many of some items, in a new order each time round."""
    rng = np.random.default_rng(0)
    while count > 0:
        for index in rng.permutation(len(items))[:count]:
            yield items[index]
        count -= len(items)


def parquet_rows(shards: str) -> Iterator[Row]:
    """Yield the pictures of the project's pair shards, for peers to put into their own formats."""
    filesystem = pyarrow.fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
    columns = {"composite": "composite", "ground_truth": "ground_truth", "mask": "foreground_mask"}
    selector = pyarrow.fs.FileSelector(shards.removeprefix("s3://"))
    paths = [f.path for f in filesystem.get_file_info(selector) if f.path.endswith(".parquet")]
    dataset = pyarrow.dataset.dataset(paths, filesystem=filesystem, format="parquet")
    for batch in dataset.to_batches(columns=list(columns.values()), batch_size=16):
        for row in batch.to_pylist():
            yield {name: row[column] for name, column in columns.items()}


def upload(folder: Path, uri: str) -> None:
    """Upload all files below a folder."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    for path in folder.rglob("*"):
        if path.is_file():
            s3().upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder)}")
