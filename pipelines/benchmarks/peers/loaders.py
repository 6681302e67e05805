"""The peers, each a function that gives batches of `BATCH_SIZE` for a number of rows.

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

from pipelines.benchmarks.peers.common import (
    BATCH_SIZE,
    Row,
    endless,
    parquet_rows,
    read,
    s3,
    sample,
    upload,
)

Batches = Callable[[int], Iterable[Any]]
_CHUNK_BYTES = 32 << 20


def files(root: str, data: str, cores: int) -> Batches:
    """The released way: torch's DataLoader over the released files, here in the store."""
    from torch.utils.data import DataLoader, Dataset

    folder = f"{root}/files/{'photographs' if data == 'photographs' else 'renders'}"
    listed = "train.txt" if data == "photographs" else "SHuman/SHuman_all_labeled.txt"
    paths = [line.split("\t")[0] for line in read(f"{folder}/{listed}").decode().splitlines()]

    class Files(Dataset):  # type: ignore[type-arg]
        def __init__(self, rows: int) -> None:
            self.paths = list(endless(paths, rows))

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int) -> Any:
            path = Path(self.paths[index])
            home, parts = f"{folder}/{path.parts[0]}", path.stem.split("_")
            mask = "_".join(parts[:2]) if data == "photographs" else parts[0].split("-")[0]
            return sample(
                {
                    "composite": read(f"{folder}/{path}"),
                    "ground_truth": read(f"{home}/real_images/{parts[0]}.jpg"),
                    "mask": read(f"{home}/masks/{mask}.png"),
                }
            )

    return lambda rows: DataLoader(Files(rows), BATCH_SIZE, num_workers=_workers(cores))


def webdataset(root: str, data: str, cores: int) -> Batches:
    """Tar archives, streamed; read with boto3, since WebDataset has no S3 reader of its own."""
    import torch.utils.data
    import webdataset as wds

    place = f"{root}/peers/webdataset/{data}"
    names = _made(place, lambda folder: _write_tars(folder, parquet_rows(f"{root}/shards/{data}")))
    wds.gopen_schemes["s3"] = lambda url, mode="rb", bufsize=8192: io.BufferedReader(
        io.BytesIO(read(url))  # type: ignore[arg-type]
    )

    def batches(rows: int) -> Iterable[Any]:
        # Each worker takes its own archives and goes round; there are at least as many archives as workers.
        dataset = (
            wds.WebDataset(
                [f"{place}/{name}" for name in names],
                resampled=False,
                shardshuffle=len(names),
                nodesplitter=wds.split_by_node,
            )
            .repeat()
            .shuffle(128)
            .rename(composite="composite.jpg", ground_truth="ground_truth.jpg", mask="mask.png")
            .map(sample)
            .with_length(rows)
        )
        return torch.utils.data.DataLoader(dataset, BATCH_SIZE, num_workers=_workers(cores))

    return batches


def streaming(root: str, data: str, cores: int) -> Batches:
    """MosaicML Streaming; what it has fetched once it keeps on disk."""
    from streaming import MDSWriter, StreamingDataset
    from torch.utils.data import DataLoader

    place = f"{root}/peers/streaming/{data}"
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]

    def write(folder: str) -> None:
        columns = {"composite": "bytes", "ground_truth": "bytes", "mask": "bytes"}
        with MDSWriter(out=folder, columns=columns, size_limit=_CHUNK_BYTES) as writer:
            for row in parquet_rows(f"{root}/shards/{data}"):
                writer.write(row)

    _made(place, write)

    class Samples(StreamingDataset):
        def __getitem__(self, at: int) -> Any:
            return sample(super().__getitem__(at))

    local = tempfile.mkdtemp()

    def batches(rows: int) -> Iterable[Any]:
        dataset = Samples(
            remote=place, local=local, shuffle=True, batch_size=BATCH_SIZE, epoch_size=_whole(rows)
        )
        return DataLoader(dataset, BATCH_SIZE, num_workers=_workers(cores))

    return batches


def litdata(root: str, data: str, cores: int) -> Batches:
    """LitData's optimised chunks; what it has fetched once it keeps on disk."""
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader
    from litdata.streaming.writer import BinaryWriter

    place = f"{root}/peers/litdata/{data}"

    def write(folder: str) -> None:
        writer = BinaryWriter(folder, chunk_bytes=_CHUNK_BYTES)
        for index, row in enumerate(parquet_rows(f"{root}/shards/{data}")):
            writer.add_item(index, row)
        writer.done()
        writer.merge()

    _made(place, write)
    options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = "true"  # the store is on this machine

    class Samples(StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            return sample(super().__getitem__(index))

    def batches(rows: int) -> Iterable[Any]:
        while True:
            dataset = Samples(place, shuffle=True, storage_options=options)
            yield from StreamingDataLoader(dataset, batch_size=BATCH_SIZE, num_workers=_workers(cores))

    return batches


def ray_parquet(root: str, data: str, cores: int) -> Batches:
    """Plain Ray Data on the project's own shards, in file order."""
    import numpy as np
    import pyarrow.fs
    import ray.data

    from pipelines.runtime.cluster import start_here

    start_here(num_cpus=cores + 1, object_store_memory=600 << 20, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    filesystem = pyarrow.fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])

    def decode(batch: dict[str, Any]) -> dict[str, Any]:
        columns = zip(batch["composite"], batch["ground_truth"], batch["foreground_mask"], strict=True)
        made = [sample({"composite": c, "ground_truth": g, "mask": m}) for c, g, m in columns]
        return {name: np.stack([one[name] for one in made]) for name in made[0]}

    def batches(rows: int) -> Iterable[Any]:
        while True:
            dataset = ray.data.read_parquet(
                f"{root}/shards/{data}".removeprefix("s3://"),
                filesystem=filesystem,
                columns=["composite", "ground_truth", "foreground_mask"],
                file_extensions=["parquet"],
            )
            yield from dataset.map_batches(decode, batch_size=BATCH_SIZE).iter_batches(batch_size=BATCH_SIZE)

    return batches


PEERS = {
    "files": files,
    "webdataset": webdataset,
    "streaming": streaming,
    "litdata": litdata,
    "ray": ray_parquet,
}


def _workers(cores: int) -> int:
    """On one core the process itself is the cheapest."""
    return 0 if cores == 1 else cores


def _whole(rows: int) -> int:
    return -(-rows // BATCH_SIZE) * BATCH_SIZE


def _made(place: str, write: Callable[[str], object]) -> list[str]:
    """Files beneath a place in the store, written there the first time."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")

    def listed() -> list[str]:
        found = s3().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
        return sorted(entry["Key"].removeprefix(f"{prefix}/") for entry in found)

    if not listed():
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "made")  # noqa: PTH118
            write(target)
            upload(target, place)
    return listed()


def _write_tars(folder: str, rows: Iterable[Row]) -> None:
    """Four archives, their samples dealt out in turn."""
    Path(folder).mkdir()
    with ExitStack() as stack:
        archives = [stack.enter_context(tarfile.open(Path(folder, f"{n}.tar"), "w")) for n in range(4)]
        for index, row in enumerate(rows):
            for name, suffix in (("composite", "jpg"), ("ground_truth", "jpg"), ("mask", "png")):
                info = tarfile.TarInfo(f"{index:06d}.{name}.{suffix}")
                info.size = len(row[name])
                archives[index % len(archives)].addfile(info, io.BytesIO(row[name]))
