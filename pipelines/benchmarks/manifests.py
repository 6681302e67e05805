"""What a manifest costs who loads it, who is sent it and who plans from it, by its number of shards."""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence

import psutil
from rich.table import Table

from charmnet.vocabulary import Domain
from pipelines.benchmarks.processes import peak_bytes, run_module
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest, Stratum
from pipelines.shards.schema import SCHEMA_VERSION, RowKind

_MODULE = "pipelines.benchmarks.manifests"
_GROUPS, _ROWS = 16, 64  # of a shard, and of a row group
_PAIRS = 4  # of a worker's step
_MOST_OBJECT_SHARDS = 10_000  # more would take a gigabyte, and half a minute
_LANES = (256, 512, 1024)


def manifest_apart(shards: int) -> dict[str, float]:
    """`manifest_figures` in processes of their own, whose memory holds nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Location.of(folder), shards)
        loaded = run_module(_MODULE, "manifest", folder)
        objects = run_module(_MODULE, "objects", folder) if shards <= _MOST_OBJECT_SHARDS else {}
        return {"shards": shards, **loaded, **run_module(_MODULE, "unpickle", folder), **objects}


def write_manifest(place: Location, shards: int) -> None:
    """A manifest of shards that there are not, written as text: as objects a large one would not fit."""
    stratum = Stratum(Domain.REAL, "HCOCO", None, ("train",))
    group = {
        "rows": _ROWS,
        "samples": _ROWS,
        "bytes": 600_000,
        "strata": {"0": [_ROWS, _ROWS]},
        "offset": None,
    }
    held = {"bytes": _GROUPS * 600_000, "row_groups": [group] * _GROUPS}
    empty = Manifest(RowKind.PAIR, Container.PARQUET, Domain.REAL, (stratum,), ()).to_json()
    entries = [{"path": f"part-{n:08d}.parquet", "sha256": f"{n:064x}", **held} for n in range(shards)]
    value = {**empty, "schema_version": SCHEMA_VERSION, "rows": shards * _GROUPS * _ROWS, "shards": entries}
    (place / "manifest.json").write_bytes(json.dumps(value, separators=(",", ":")).encode())


def manifest_figures(folder: str) -> dict[str, float]:
    """What a driver does with a manifest, in CPU seconds: loads it, plans, and pickles it for the others."""
    place = Location.of(folder)
    before = _resident()
    started = time.process_time()
    manifest = Manifest.load(place)
    loaded = time.process_time()
    plan = EpochPlan(manifest)
    planned = time.process_time()
    pickled = pickle.dumps(manifest)
    (place / "pickled").write_bytes(pickled)
    if len(manifest.shards) <= _MOST_OBJECT_SHARDS:
        (place / "objects").write_bytes(pickle.dumps(tuple(manifest.shards)))
    return {
        "rows": manifest.rows,
        "file_bytes": (place / "manifest.json").size_bytes(),
        "load_seconds": loaded - started,
        "plan_seconds": planned - loaded,
        "resident_bytes": _resident() - before,
        "peak_bytes": peak_bytes() - before,
        "pickled_bytes": len(pickled),
        **{f"window_seconds_{lanes}": _window_seconds(plan, lanes * _PAIRS) for lanes in _LANES},
    }


def _window_seconds(plan: EpochPlan, samples: int) -> float:
    """To plan a window of a step's samples somewhere in the middle of an epoch."""
    starts = [plan.num_samples // 2 + number * samples for number in range(5)]
    started = time.process_time()
    for start in starts:
        list(plan.runs(start, start + samples))
    return (time.process_time() - started) / len(starts)


def unpickle_figures(folder: str) -> dict[str, float]:
    """What every data task's process and every worker does with it."""
    data = (Location.of(folder) / "pickled").read_bytes()
    before, started = _resident(), time.process_time()
    manifest = pickle.loads(data)
    unpickled = time.process_time()
    plan = EpochPlan(manifest)
    assert plan.num_samples
    return {
        "unpickle_seconds": unpickled - started,
        "process_plan_seconds": time.process_time() - unpickled,
        "process_bytes": _resident() - before,
    }


def object_figures(folder: str) -> dict[str, float]:
    """The same with an object for every row group, which is what columns are for."""
    data = (Location.of(folder) / "objects").read_bytes()
    before, started = _resident(), time.process_time()
    shards = pickle.loads(data)
    assert shards
    return {
        "objects_seconds": time.process_time() - started,
        "objects_process_bytes": _resident() - before,
    }


def _resident() -> int:
    return psutil.Process().memory_info().rss


def manifest_table(manifests: Sequence[dict[str, float]]) -> Table:
    columns = (
        *("rows", "file, MB", "load, CPU s", "peak, MB", "held, MB", "plan, CPU s", "pickled, MB"),
        *("a process: unpickle and plan, CPU s", "held, MB", "as objects, CPU s", "held, MB"),
        *(f"window of {lanes} workers, CPU ms" for lanes in _LANES),
    )
    table = Table("shards", *columns, title=f"manifest and plan, {_GROUPS} row groups of {_ROWS} a shard")
    for m in manifests:
        megabytes = {key: f"{value / 1e6:,.0f}" for key, value in m.items() if key.endswith("_bytes")}
        table.add_row(
            f"{m['shards']:,}",
            f"{m['rows']:,}",
            megabytes["file_bytes"],
            f"{m['load_seconds']:.2f}",
            megabytes["peak_bytes"],
            megabytes["resident_bytes"],
            f"{m['plan_seconds']:.2f}",
            megabytes["pickled_bytes"],
            f"{m['unpickle_seconds'] + m['process_plan_seconds']:.2f}",
            megabytes["process_bytes"],
            f"{m['objects_seconds']:.2f}" if "objects_seconds" in m else "",
            megabytes.get("objects_process_bytes", ""),
            *(f"{1000 * m[f'window_seconds_{lanes}']:.1f}" for lanes in _LANES),
        )
    return table


_PARTS = {"manifest": manifest_figures, "unpickle": unpickle_figures, "objects": object_figures}

if __name__ == "__main__":
    part, place = sys.argv[1:]
    print(json.dumps(_PARTS[part](place)))
