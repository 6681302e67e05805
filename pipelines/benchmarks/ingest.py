"""From shards in S3 to training batches: rows per second, CPU milliseconds per row, and what storage costs.

  charmnet bench ingest --real mini_iharmony4 --rendered mini_rdharmony

Starts the quickstart's object store, enlarges pictures to photographs of 640x480 and scenes of 1920x1080
(JPEG quality 95), shards them as they are and shrunk once, and streams each as a training worker does. The
limit beside each is libjpeg-turbo's decoding of a row's two pictures alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from charmnet.errors import CharmNetError
from pipelines.benchmarks.ingest_data import JPEG_QUALITY, SHRUNK_SIDE, IngestData, prepare
from pipelines.benchmarks.ingest_storage import storage_figures
from pipelines.benchmarks.ingest_stream import BATCH_SIZE
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.results import Comparison
from pipelines.runtime.cluster import disconnect
from pipelines.runtime.paths import state_folder
from pipelines.runtime.storage import Location
from pipelines.services.local import ObjectStore, use_servers

STREAMS = {
    "photographs": ("exact",),
    "small-photographs": ("exact",),
    "pairs": ("exact", "fast"),
    "scenes": ("exact", "fast"),
    "small-pairs": ("exact",),
    "small-scenes": ("exact",),
}
"""Ways of decoding by shards; small pictures are decoded alike in both."""

_LIMIT = "limit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `charmnet bench ingest`."""
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


def measure(arguments: argparse.Namespace) -> Measurement:
    """Make the data where they are missing, and measure each stream on each number of cores.

    Raises:
        CharmNetError: the data cannot be made or a stream ends early.
    """
    store = ObjectStore(state_folder() / "object-store")
    store.start()
    try:
        use_servers(store.environment())
        data = _prepare(arguments, Location.of(f"{store.uri}/bench"))
        streams = [
            figures for cores in arguments.cores for figures in _measure_streams(data, cores, arguments.rows)
        ]
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
    tables = [_stream_table(streams), _storage_table(storage)]
    return Measurement(figures, tables, _comparisons(streams, storage))


def _prepare(arguments: argparse.Namespace, root: Location) -> IngestData:
    try:
        return prepare(
            folder=state_folder() / "ingest-files",
            root=root,
            real=arguments.real,
            rendered=arguments.rendered,
            photographs=arguments.photographs,
            scenes=arguments.scenes,
        )
    finally:
        disconnect()  # which the sharding started; each stream has its own


def _measure_streams(data: IngestData, cores: int, rows: int) -> list[dict[str, Any]]:
    streams = [f"{how}:{name}" for name, ways in STREAMS.items() for how in (_LIMIT, *ways)]
    command = [
        sys.executable,
        "-m",
        "pipelines.benchmarks.ingest_stream",
        str(data.root / "shards"),
        *streams,
    ]
    ended = subprocess.run(
        [*command, "--cores", str(cores), "--rows", str(rows)], stdout=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        raise CharmNetError(f"the streams on {cores} cores ended with {ended.returncode}; see above")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    return [{"cores": cores, **json.loads(line)} for line in lines]


def _limits(streams: Sequence[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """Return the limits' CPU milliseconds per row by (shards, cores)."""
    return {
        (stream["shards"], stream["cores"]): stream["cpu_ms_per_row"]
        for stream in streams
        if stream["how"] == _LIMIT
    }


def _comparisons(streams: Sequence[dict[str, Any]], storage: dict[str, float]) -> list[Comparison]:
    limits = _limits(streams)
    comparisons = [
        Comparison(
            question=f"ingest of {stream['shards']}, {stream['how']} decoding, {stream['cores']} cores",
            values=(stream["cpu_ms_per_row"],),
            unit="CPU ms a row",
            beside="libjpeg-turbo alone",
            beside_values=(limits[stream["shards"], stream["cores"]],),
            ratios=(stream["cpu_ms_per_row"] / limits[stream["shards"], stream["cores"]],),
        )
        for stream in streams
        if stream["how"] != _LIMIT
    ]
    stored = Comparison(
        question="storage of a possible pair in scene shards",
        values=(storage["stored_bytes_per_possible_pair"],),
        unit="bytes",
        beside="composites as files",
        beside_values=(storage["file_bytes_per_possible_pair"],),
        ratios=(storage["stored_ratio"],),
    )
    read = Comparison(
        question="bytes read for a training sample from scene shards",
        values=(storage["read_bytes_per_sample_scenes"],),
        unit="bytes",
        beside="pair shards",
        beside_values=(storage["read_bytes_per_sample_pairs"],),
        ratios=(storage["read_ratio"],),
    )
    return [*comparisons, stored, read]


def _stream_table(streams: Sequence[dict[str, Any]]) -> Table:
    table = Table("shards", "how", "cores", "rows/s", "CPU ms/row", "of the limit", title="Ingest")
    limits = _limits(streams)
    for stream in streams:
        ratio = stream["cpu_ms_per_row"] / limits[stream["shards"], stream["cores"]]
        table.add_row(
            stream["shards"],
            stream["how"],
            str(stream["cores"]),
            f"{stream['rows_per_second']:.0f}",
            f"{stream['cpu_ms_per_row']:.2f}",
            f"{ratio:.2f}",
        )
    return table


def _storage_table(storage: dict[str, float]) -> Table:
    table = Table("scene shards", "figure", title="Storage")
    for name, value in storage.items():
        table.add_row(name.replace("_", " "), f"{value:,.3f}" if value < 10 else f"{value:,.0f}")
    return table
