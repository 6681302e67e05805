"""Cost of taking training batches from shards as a worker does: a process of `charmnet bench ingest`.

  python -m pipelines.benchmarks.ingest_stream s3://BUCKET/bench/shards exact:scenes fast:scenes limit:scenes

The consumer does nothing with its batches, so the stream is as fast as it can be. CPU time is that of this
process and of all that it started: Ray's servers and workers, not the object store.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import psutil

from charmnet.codecs import decode_rgb
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.processes import ray_worker_name, read_tree
from pipelines.ingest.execution import TaskResources
from pipelines.ingest.lanes import LaneShard
from pipelines.ingest.row_group_reader import RowGroupReader
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.cluster import start_here
from pipelines.shards.reading import Dataset

BATCH_SIZE = 8
_MODULE = "pipelines.benchmarks.ingest_stream"
_LIMIT = "limit"
_WARM_STEPS = 8
_LIMIT_ROWS = 64
_STORE_BYTES = 600 << 20


def cpu_seconds_by_kind() -> dict[str, float]:
    """Return CPU seconds of this process and all its descendants since they began, by kind of process."""
    seconds: dict[str, float] = defaultdict(float)
    for kind, process_seconds in read_tree(_kind_and_seconds):
        seconds[kind] += process_seconds
    return seconds


def _kind_and_seconds(process: psutil.Process) -> tuple[str, float]:
    """Return a worker's class or function, or one name for all servers of Ray, and CPU seconds."""
    command_line = process.cmdline()
    other = "consumer" if _MODULE in command_line else "servers"
    return ray_worker_name(command_line) or other, float(sum(process.cpu_times()[:4]))


def measure_stream(spec: StreamSpec, cores: int, rows: int) -> dict[str, Any]:
    """Return rows per second and CPU milliseconds per row of a whole stream, after a short one."""
    shard = LaneShard(spec, rank=0, num_workers=1, resources=TaskResources(max_cpus=float(cores)))
    steps = rows // BATCH_SIZE
    for _ in shard.steps(0, _WARM_STEPS):
        pass
    before = cpu_seconds_by_kind()
    started = time.perf_counter()
    for block in shard.steps(_WARM_STEPS, _WARM_STEPS + steps):
        assert block["composite"].shape == (BATCH_SIZE, spec.size, spec.size, 3)
    seconds = time.perf_counter() - started
    after = cpu_seconds_by_kind()
    # Of a kind that has ended the difference is negative: its parent's time holds it now.
    spent = {kind: after.get(kind, 0.0) - before.get(kind, 0.0) for kind in after | before}
    measured_rows = steps * BATCH_SIZE
    parts = {kind: _milliseconds(cpu, measured_rows) for kind, cpu in spent.items() if cpu > 0}
    return _figures(measured_rows, seconds, sum(spent.values())) | {"parts": parts}


def measure_without_ray(spec: StreamSpec, rows: int) -> dict[str, Any]:
    """Return the same figures of a data task's work alone, in this process."""
    windows = spec.windows(_WARM_STEPS, _WARM_STEPS + rows // BATCH_SIZE)
    for _ in read_window(spec, 0, _WARM_STEPS, BATCH_SIZE):
        pass
    blocks = (block for start, stop in windows for block in read_window(spec, start, stop, BATCH_SIZE))
    return _timed(lambda: deque(blocks, maxlen=0), rows)  # kept, they would cost new memory each


def measure_limit(spec: StreamSpec) -> dict[str, Any]:
    """Return the figures of libjpeg-turbo alone: a row's pictures decoded in full, from memory."""
    reader = RowGroupReader(spec)
    samples = [
        reader.samples(shard, group).sample(offset, run.epoch, spec.decode_options)
        for run in spec.plan.runs(0, _LIMIT_ROWS)
        for shard, group, offset in run.references.tolist()
    ]
    pictures = [(sample.composite or sample.foreground or b"", sample.ground_truth) for sample in samples]
    decoded = (decode_rgb(picture) for pair in pictures for picture in pair)
    return _timed(lambda: deque(decoded, maxlen=0), len(pictures))  # kept, they would cost new memory each


def _timed(work: Callable[[], Iterable[object]], rows: int) -> dict[str, Any]:
    started = time.perf_counter()
    cpu_started = time.process_time()
    work()
    return _figures(rows, time.perf_counter() - started, time.process_time() - cpu_started)


def _figures(rows: int, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    return {"rows_per_second": rows / seconds, "cpu_ms_per_row": _milliseconds(cpu_seconds, rows)}


def _milliseconds(seconds: float, rows: int) -> float:
    return round(1000 * seconds / rows, 4)


def main() -> None:
    """Print the figures of each stream as a line of JSON."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("shards", help="where the shards lie")
    parser.add_argument(
        "streams", nargs="+", metavar="HOW:NAME", help="exact, fast or limit, and which shards"
    )
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--here", action="store_true", help="a data task's work alone, without Ray")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    if not arguments.here:
        # A CPU more than there is, for the coordinators of the splits, which wait most of the time.
        start_here(num_cpus=arguments.cores + 1, object_store_memory=_STORE_BYTES)
    for stream in arguments.streams:
        how, _, name = stream.partition(":")
        decoding = cast(Literal["exact", "fast"], "exact" if how == _LIMIT else how)
        spec = StreamSpec(Dataset.open(f"{arguments.shards}/{name}"), BATCH_SIZE, decoding=decoding)
        if how == _LIMIT:
            figures = measure_limit(spec)
        elif arguments.here:
            figures = measure_without_ray(spec, arguments.rows)
        else:
            figures = measure_stream(spec, arguments.cores, arguments.rows)
        print(json.dumps({"shards": name, "how": how, **figures}), flush=True)


if __name__ == "__main__":
    main()
