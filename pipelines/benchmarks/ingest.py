"""From shards in S3 to training batches: rows per second, CPU milliseconds per row, and what storage costs.

  charmnet bench ingest --real mini_iharmony4 --rendered mini_rdharmony

Starts the quickstart's object store, enlarges pictures to photographs of 640x480 and scenes of 1920x1080
(JPEG quality 95), shards them as they are and shrunk once, and streams each as a training worker does. The
limit beside each is libjpeg-turbo's decoding of a row's two pictures alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from charmnet.errors import CharmNetError
from pipelines.benchmarks.ingest_data import JPEG_QUALITY, SHRUNK_SIDE, Data, prepare
from pipelines.benchmarks.ingest_storage import storage_figures
from pipelines.benchmarks.ingest_stream import BATCH_SIZE
from pipelines.benchmarks.report import Report
from pipelines.runtime.paths import state_folder
from pipelines.runtime.storage import Location
from pipelines.services.local import ObjectStore

STREAMS = {
    "photographs": ("exact",),
    "small-photographs": ("exact",),
    "pairs": ("exact", "fast"),
    "scenes": ("exact", "fast"),
    "small-pairs": ("exact",),
    "small-scenes": ("exact",),
}
"""Shards and how they are decoded; of small pictures fast decoding makes what exact does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--real", type=Path, metavar="DIR", help="photographs to enlarge, in iHarmony4's layout"
    )
    parser.add_argument(
        "--rendered", type=Path, metavar="DIR", help="scenes to enlarge, in RdHarmony's layout"
    )
    parser.add_argument("--photographs", type=int, default=256, metavar="N", help="composites to make (256)")
    parser.add_argument("--scenes", type=int, default=16, metavar="N", help="scenes to make (16)")
    parser.add_argument(
        "--rows", type=int, default=256, metavar="N", help="that each stream is measured over (256)"
    )
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--keep-store", action="store_true", help="leave the object store running for others")


def measure(arguments: argparse.Namespace) -> Report:
    """
    Raises:
        CharmNetError: the data cannot be made or a stream ends early.
    """
    store = ObjectStore(state_folder() / "object-store")
    store.start()
    try:
        os.environ.update(store.environment())
        data = _prepared(arguments, Location.of(f"{store.uri}/bench"))
        streams = [found for cores in arguments.cores for found in _streams(data, cores, arguments.rows)]
        storage = storage_figures(data, BATCH_SIZE)
    finally:
        if not arguments.keep_store:
            store.stop()
    figures = {
        "jpeg_quality": JPEG_QUALITY,
        "shrunk_side": SHRUNK_SIDE,
        "streams": streams,
        "storage": storage,
    }
    return Report(figures, [_stream_table(streams), _storage_table(storage)])


def _prepared(arguments: argparse.Namespace, root: Location) -> Data:
    import ray

    folder = state_folder() / "ingest-files"
    try:
        return prepare(
            folder, root, arguments.real, arguments.rendered, arguments.photographs, arguments.scenes
        )
    finally:
        ray.shutdown()  # which the sharding started; each stream has its own


def _streams(data: Data, cores: int, rows: int) -> list[dict[str, Any]]:
    asked = [f"{how}:{name}" for name, hows in STREAMS.items() for how in ("limit", *hows)]
    command = [sys.executable, "-m", "pipelines.benchmarks.ingest_stream", str(data.root / "shards"), *asked]
    ended = subprocess.run(
        [*command, "--cores", str(cores), "--rows", str(rows)], stdout=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        raise CharmNetError(f"the streams on {cores} cores ended with {ended.returncode}; see above")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    return [{"cores": cores, **json.loads(line)} for line in lines]


def _stream_table(streams: list[dict[str, Any]]) -> Table:
    table = Table("shards", "how", "cores", "rows/s", "CPU ms/row", "of the limit", title="Ingest")
    limits = {(s["shards"], s["cores"]): s["cpu_ms_per_row"] for s in streams if s["how"] == "limit"}
    for s in streams:
        ratio = s["cpu_ms_per_row"] / limits[s["shards"], s["cores"]]
        figures = f"{s['rows_per_second']:.0f}", f"{s['cpu_ms_per_row']:.2f}", f"{ratio:.2f}"
        table.add_row(s["shards"], s["how"], str(s["cores"]), *figures)
    return table


def _storage_table(storage: dict[str, float]) -> Table:
    table = Table("scene shards", "figure", title="Storage")
    for name, value in storage.items():
        table.add_row(name.replace("_", " "), f"{value:,.3f}" if value < 10 else f"{value:,.0f}")
    return table
