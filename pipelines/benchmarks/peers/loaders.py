"""The peers, each a function that returns batches of `BATCH_SIZE` for a number of rows.

Their packages are no dependencies of the project, so they are imported where they are used.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs
import ray.data
from torch.utils.data import DataLoader, Dataset

from pipelines.benchmarks.peers.common import (
    BATCH_SIZE,
    Row,
    augmented_sample,
    parquet_rows,
    read,
    s3,
    shuffled,
    upload,
)
from pipelines.runtime.cluster import start_here

Batches = Callable[[int], Iterable[Any]]
"""Makes an iterable over a number of rows."""

_CHUNK_BYTES = 32 << 20
_OBJECT_STORE_BYTES = 600 << 20
_ARCHIVES = 4
_SHUFFLED_SAMPLES = 128


class _Files(Dataset[dict[str, Any]]):
    """Samples of the released files in the store."""

    def __init__(self, folder: str, data: str, paths: list[str]) -> None:
        self._folder = folder
        self._data = data
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = Path(self._paths[index])
        subset = f"{self._folder}/{path.parts[0]}"
        parts = path.stem.split("_")
        mask = "_".join(parts[:2]) if self._data == "photographs" else parts[0].split("-")[0]
        return augmented_sample(
            {
                "composite": read(f"{self._folder}/{path}"),
                "ground_truth": read(f"{subset}/real_images/{parts[0]}.jpg"),
                "mask": read(f"{subset}/masks/{mask}.png"),
            }
        )


def files(root: str, data: str, cores: int) -> Batches:
    """Return the released way: torch's DataLoader over the released files, here in the store."""
    folder = f"{root}/files/{'photographs' if data == 'photographs' else 'renders'}"
    listed = "train.txt" if data == "photographs" else "SHuman/SHuman_all_labeled.txt"
    paths = [line.split("\t")[0] for line in read(f"{folder}/{listed}").decode().splitlines()]

    def batches(rows: int) -> Iterable[Any]:
        dataset = _Files(folder, data, list(shuffled(paths, rows)))
        return DataLoader(dataset, BATCH_SIZE, num_workers=_workers(cores))

    return batches


def webdataset(root: str, data: str, cores: int) -> Batches:
    """Return tar archives, streamed with boto3, since WebDataset has no S3 reader of its own."""
    import webdataset as wds

    location = f"{root}/peers/webdataset/{data}"
    names = _written_once(location, lambda folder: _write_tars(folder, parquet_rows(f"{root}/shards/{data}")))
    wds.gopen_schemes["s3"] = _open_object

    def batches(rows: int) -> Iterable[Any]:
        # Each worker takes its own archives and goes round; there are at least as many archives as workers.
        dataset = (
            wds.WebDataset(
                [f"{location}/{name}" for name in names],
                resampled=False,
                shardshuffle=len(names),
                nodesplitter=wds.split_by_node,
            )
            .repeat()
            .shuffle(_SHUFFLED_SAMPLES)
            .rename(composite="composite.jpg", ground_truth="ground_truth.jpg", mask="mask.png")
            .map(augmented_sample)
            .with_length(rows)
        )
        return DataLoader(dataset, BATCH_SIZE, num_workers=_workers(cores))

    return batches


def _open_object(url: str, mode: str = "rb", bufsize: int = 8192) -> io.BufferedReader:
    """Open an object in the store to be read: WebDataset calls it with all three arguments."""
    del mode, bufsize
    return io.BufferedReader(io.BytesIO(read(url)))


def streaming(root: str, data: str, cores: int) -> Batches:
    """Return MosaicML Streaming, which keeps on disk what it has fetched."""
    from streaming import MDSWriter, StreamingDataset

    location = f"{root}/peers/streaming/{data}"
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]

    def write(folder: Path) -> None:
        columns = {"composite": "bytes", "ground_truth": "bytes", "mask": "bytes"}
        with MDSWriter(out=str(folder), columns=columns, size_limit=_CHUNK_BYTES) as writer:
            for row in parquet_rows(f"{root}/shards/{data}"):
                writer.write(row)

    _written_once(location, write)

    class Samples(StreamingDataset):  # type: ignore[misc, unused-ignore]
        def __getitem__(self, index: int) -> Any:
            return augmented_sample(super().__getitem__(index))

    local = tempfile.mkdtemp()

    def batches(rows: int) -> Iterable[Any]:
        whole_batches = -(-rows // BATCH_SIZE) * BATCH_SIZE
        dataset = Samples(
            remote=location, local=local, shuffle=True, batch_size=BATCH_SIZE, epoch_size=whole_batches
        )
        return DataLoader(dataset, BATCH_SIZE, num_workers=_workers(cores))

    return batches


def litdata(root: str, data: str, cores: int) -> Batches:
    """Return LitData's optimised chunks, which it keeps on disk once they are fetched."""
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader
    from litdata.streaming.writer import BinaryWriter

    location = f"{root}/peers/litdata/{data}"

    def write(folder: Path) -> None:
        writer = BinaryWriter(str(folder), chunk_bytes=_CHUNK_BYTES)
        for index, row in enumerate(parquet_rows(f"{root}/shards/{data}")):
            writer.add_item(index, row)
        writer.done()
        writer.merge()

    _written_once(location, write)
    options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    # The store is on this machine, without TLS; LitData has no public option for it.
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = "true"  # noqa: SLF001 - see above

    class Samples(StreamingDataset):  # type: ignore[misc, unused-ignore]
        def __getitem__(self, index: Any) -> Any:
            return augmented_sample(super().__getitem__(index))

    def batches(_: int) -> Iterable[Any]:
        while True:
            dataset = Samples(location, shuffle=True, storage_options=options)
            yield from StreamingDataLoader(dataset, batch_size=BATCH_SIZE, num_workers=_workers(cores))

    return batches


def ray_parquet(root: str, data: str, cores: int) -> Batches:
    """Return plain Ray Data on the project's own shards, in file order."""
    start_here(num_cpus=cores + 1, object_store_memory=_OBJECT_STORE_BYTES)
    ray.data.DataContext.get_current().enable_progress_bars = False
    filesystem = pyarrow.fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])

    def decode(batch: dict[str, Any]) -> dict[str, Any]:
        columns = zip(batch["composite"], batch["ground_truth"], batch["foreground_mask"], strict=True)
        samples = [
            augmented_sample({"composite": composite, "ground_truth": ground_truth, "mask": mask})
            for composite, ground_truth, mask in columns
        ]
        return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}

    def batches(_: int) -> Iterable[Any]:
        while True:
            dataset = ray.data.read_parquet(
                f"{root}/shards/{data}".removeprefix("s3://"),
                filesystem=filesystem,
                columns=["composite", "ground_truth", "foreground_mask"],
                file_extensions=["parquet"],
            )
            yield from dataset.map_batches(decode, batch_size=BATCH_SIZE).iter_batches(batch_size=BATCH_SIZE)

    return batches


PEERS: dict[str, Callable[[str, str, int], Batches]] = {
    "files": files,
    "webdataset": webdataset,
    "streaming": streaming,
    "litdata": litdata,
    "ray": ray_parquet,
}
"""By name; each takes the root of the data in the store, the name of the data, and the number of cores."""


def _workers(cores: int) -> int:
    """Return the worker processes of a loader: on one core, loading in its own process is the cheapest."""
    return 0 if cores == 1 else cores


def _written_once(location: str, write: Callable[[Path], object]) -> list[str]:
    """Return the names of the files below a location of the store, which are written there the first time."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")

    def names() -> list[str]:
        entries = s3().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
        return sorted(entry["Key"].removeprefix(f"{prefix}/") for entry in entries)

    if not names():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "written")
            write(folder)
            upload(folder, location)
    return names()


def _write_tars(folder: Path, rows: Iterable[Row]) -> None:
    """Write archives whose samples are dealt out in turn."""
    folder.mkdir()
    with ExitStack() as stack:
        archives = [stack.enter_context(tarfile.open(folder / f"{n}.tar", "w")) for n in range(_ARCHIVES)]
        for index, row in enumerate(rows):
            for name, suffix in (("composite", "jpg"), ("ground_truth", "jpg"), ("mask", "png")):
                info = tarfile.TarInfo(f"{index:06d}.{name}.{suffix}")
                info.size = len(row[name])
                archives[index % len(archives)].addfile(info, io.BytesIO(row[name]))
