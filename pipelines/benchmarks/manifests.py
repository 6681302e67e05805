"""Cost of loading, sending and planning from a manifest, by its number of shards."""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.table import Table

from charmnet.vocabulary import Domain
from pipelines.benchmarks.processes import peak_bytes, run_module
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.ingest.sample_table import SampleTable
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.schema import SCHEMA_VERSION, RowKind
from pipelines.shards.stratum import Stratum

_MODULE = "pipelines.benchmarks.manifests"
_GROUPS_PER_SHARD = 16
_ROWS_PER_GROUP = 64
_GROUP_BYTES = 600_000
_PAIRS = 4  # of a worker's step
_MOST_OBJECT_SHARDS = 10_000  # more would take a gigabyte, and half a minute
_LANES = (256, 512, 1024)
_COLUMNS_FOLDER = "columns"  # beneath the folder with the manifest in JSON


def measure_manifest(shards: int) -> dict[str, float]:
    """Return the figures of a manifest, taken in processes whose memory holds nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Location.of(folder), shards)
        loaded = run_module(_MODULE, "manifest", folder)
        loaded |= run_module(_MODULE, "columns", Path(folder) / _COLUMNS_FOLDER)
        objects = run_module(_MODULE, "objects", folder) if shards <= _MOST_OBJECT_SHARDS else {}
        return {"shards": shards, **loaded, **run_module(_MODULE, "unpickle", folder), **objects}


def write_manifest(folder: Location, shards: int) -> None:
    """Write a manifest that lists shards, none of which exist, as text: as objects many fit in no memory."""
    stratum = Stratum(Domain.REAL, "HCOCO", None, ("train",))
    group = {
        "rows": _ROWS_PER_GROUP,
        "samples": _ROWS_PER_GROUP,
        "bytes": _GROUP_BYTES,
        "strata": {"0": [_ROWS_PER_GROUP, _ROWS_PER_GROUP]},
        "offset": None,
    }
    contents = {"bytes": _GROUPS_PER_SHARD * _GROUP_BYTES, "row_groups": [group] * _GROUPS_PER_SHARD}
    empty = Manifest(RowKind.PAIR, Container.PARQUET, Domain.REAL, (stratum,), ()).to_json()
    entries = [{"path": f"part-{n:08d}.parquet", "sha256": f"{n:064x}", **contents} for n in range(shards)]
    value = {
        **empty,
        "schema_version": SCHEMA_VERSION,
        "rows": shards * _GROUPS_PER_SHARD * _ROWS_PER_GROUP,
        "shards": entries,
    }
    (folder / "manifest.json").write_bytes(json.dumps(value, separators=(",", ":")).encode())


def manifest_figures(folder: str) -> dict[str, float]:
    """Return CPU seconds and bytes of a driver that loads a manifest, plans, and pickles it."""
    location = Location.of(folder)
    before = _resident_bytes()
    started = time.process_time()
    manifest = Manifest.load(location)
    loaded = time.process_time()
    plan = EpochPlan(SampleTable([manifest]), manifest.domain)
    planned = time.process_time()
    pickled = pickle.dumps(manifest)
    (location / "pickled").write_bytes(pickled)
    manifest.save(location / _COLUMNS_FOLDER)
    if len(manifest.shards) <= _MOST_OBJECT_SHARDS:
        (location / "objects").write_bytes(pickle.dumps(tuple(manifest.shards)))
    return {
        "rows": manifest.rows,
        "file_bytes": (location / "manifest.json").size_bytes(),
        "load_seconds": loaded - started,
        "plan_seconds": planned - loaded,
        "resident_bytes": _resident_bytes() - before,
        "peak_bytes": peak_bytes() - before,
        "pickled_bytes": len(pickled),
        **{f"window_seconds_{lanes}": _window_seconds(plan, lanes * _PAIRS) for lanes in _LANES},
    }


def column_figures(folder: str) -> dict[str, float]:
    """Return seconds and bytes of loading the same manifest as it is stored today."""
    location = Location.of(folder)
    sizes = [(location / name).size_bytes() for name in location.walk_files()]
    before = _resident_bytes()
    started, cpu_started = time.perf_counter(), time.process_time()
    manifest = Manifest.load(location)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    loaded_peak = peak_bytes() - before
    EpochPlan(SampleTable([manifest]), manifest.domain)
    return {
        "columns_file_bytes": sum(sizes),
        "columns_load_seconds": cpu_seconds,
        "columns_load_wall_seconds": seconds,
        "columns_peak_bytes": loaded_peak,
        "columns_planned_peak_bytes": peak_bytes() - before,
    }


def _window_seconds(plan: EpochPlan, samples: int) -> float:
    """Return CPU seconds of planning a window of one step in the middle of an epoch."""
    starts = [plan.num_samples // 2 + number * samples for number in range(5)]
    started = time.process_time()
    for start in starts:
        list(plan.runs(start, start + samples))
    return (time.process_time() - started) / len(starts)


def unpickle_figures(folder: str) -> dict[str, float]:
    """Return CPU seconds and bytes of unpickling and planning, as every worker and data task does."""
    data = (Location.of(folder) / "pickled").read_bytes()
    before = _resident_bytes()
    started = time.process_time()
    manifest: Manifest = pickle.loads(data)  # noqa: S301 - this benchmark wrote it
    unpickled = time.process_time()
    plan = EpochPlan(SampleTable([manifest]), manifest.domain)
    assert plan.num_samples
    return {
        "unpickle_seconds": unpickled - started,
        "process_plan_seconds": time.process_time() - unpickled,
        "process_bytes": _resident_bytes() - before,
    }


def object_figures(folder: str) -> dict[str, float]:
    """Return the same with an object for every row group instead of columns."""
    data = (Location.of(folder) / "objects").read_bytes()
    before = _resident_bytes()
    started = time.process_time()
    shards = pickle.loads(data)  # noqa: S301 - this benchmark wrote it
    assert shards
    return {
        "objects_seconds": time.process_time() - started,
        "objects_process_bytes": _resident_bytes() - before,
    }


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def manifest_table(manifests: Sequence[dict[str, float]]) -> Table:
    """Return a row for each number of shards."""
    columns = (
        *("rows", "as stored, MB", "load, CPU s", "peak, MB"),
        *("as JSON, MB", "load, CPU s", "peak, MB", "held, MB", "plan, CPU s", "pickled, MB"),
        *("a process: unpickle and plan, CPU s", "held, MB", "as objects, CPU s", "held, MB"),
        *(f"window of {lanes} workers, CPU ms" for lanes in _LANES),
    )
    table = Table(
        "shards",
        *columns,
        title=f"manifest and plan, {_GROUPS_PER_SHARD} row groups of {_ROWS_PER_GROUP} a shard",
    )
    for figures in manifests:
        megabytes = {key: f"{value / 1e6:,.0f}" for key, value in figures.items() if key.endswith("_bytes")}
        table.add_row(
            f"{figures['shards']:,}",
            f"{figures['rows']:,}",
            megabytes["columns_file_bytes"],
            f"{figures['columns_load_seconds']:.2f}",
            megabytes["columns_peak_bytes"],
            megabytes["file_bytes"],
            f"{figures['load_seconds']:.2f}",
            megabytes["peak_bytes"],
            megabytes["resident_bytes"],
            f"{figures['plan_seconds']:.2f}",
            megabytes["pickled_bytes"],
            f"{figures['unpickle_seconds'] + figures['process_plan_seconds']:.2f}",
            megabytes["process_bytes"],
            f"{figures['objects_seconds']:.2f}" if "objects_seconds" in figures else "",
            megabytes.get("objects_process_bytes", ""),
            *(f"{1000 * figures[f'window_seconds_{lanes}']:.1f}" for lanes in _LANES),
        )
    return table


_PARTS = {
    "manifest": manifest_figures,
    "columns": column_figures,
    "unpickle": unpickle_figures,
    "objects": object_figures,
}

if __name__ == "__main__":
    part_name, manifest_folder = sys.argv[1:]
    print(json.dumps(_PARTS[part_name](manifest_folder)))
