"""Taking training batches from shards as a worker does, and what that costs: a process of `bench ingest`.

  python -m pipelines.benchmarks.ingest_stream s3://BUCKET/bench/shards exact:scenes fast:scenes limit:scenes

The consumer does nothing with its batches, so the stream is as fast as it can be. CPU time is that of this
process and of all that it started: Ray's servers and workers, not the object store.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from charmnet.codecs import decode_rgb
from pipelines.ingest.row_group_reader import RowGroupReader
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.cluster import start_here
from pipelines.shards.reading import Dataset

BATCH_SIZE = 8
_WARM_STEPS = 8
_LIMIT_ROWS = 64
_STORE_BYTES = 600 << 20


def cpu_seconds() -> Counter[str]:
    """Of this process and all its descendants since they began, by kind of process."""
    found: Counter[str] = Counter()
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            words, times = process.cmdline(), process.cpu_times()
        except psutil.Error:  # it has just ended; its parent counts it
            continue
        found[_kind(words)] += sum(times[:4])
    return found


def _kind(words: list[str]) -> str:
    """Ray's workers by what they are, other servers of Ray's as one."""
    name = words[0] if words else ""
    if name.startswith("ray::"):
        return re.split(r"[\s(:.]", name.removeprefix("ray::"))[0]
    return "consumer" if "pipelines.benchmarks.ingest_stream" in words else "servers"


def stream(spec: StreamSpec, cores: int, rows: int) -> dict[str, Any]:
    """Rows per second and CPU milliseconds per row of a whole stream after a short one."""
    from pipelines.ingest.lanes import LaneShard, TaskResources

    resources = TaskResources(max_cpus=float(cores))
    shard, steps = LaneShard(spec, rank=0, num_workers=1, resources=resources), rows // BATCH_SIZE
    for _ in shard.steps(0, _WARM_STEPS):
        pass
    before, started = cpu_seconds(), time.perf_counter()
    for block in shard.steps(_WARM_STEPS, _WARM_STEPS + steps):
        assert block["composite"].shape == (BATCH_SIZE, spec.size, spec.size, 3)
    seconds, after = time.perf_counter() - started, cpu_seconds()
    after.subtract(before)
    figures = _figures(steps * BATCH_SIZE, seconds, sum(after.values()))
    return figures | {"parts": {kind: _ms(cpu, steps * BATCH_SIZE) for kind, cpu in after.items() if cpu > 0}}


def stream_here(spec: StreamSpec, rows: int) -> dict[str, Any]:
    """The work of a data task in this process, without Ray."""
    windows = spec.windows(_WARM_STEPS, _WARM_STEPS + rows // BATCH_SIZE)
    for _ in read_window(spec, 0, _WARM_STEPS, BATCH_SIZE):
        pass
    return _timed(
        lambda: [None for start, stop in windows for _ in read_window(spec, start, stop, BATCH_SIZE)], rows
    )


def limit(spec: StreamSpec) -> dict[str, Any]:
    """What libjpeg-turbo alone takes to decode a row's pictures in full, from memory."""
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
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return _figures(rows, time.perf_counter() - started, time.process_time() - cpu)


def _figures(rows: int, seconds: float, cpu: float) -> dict[str, Any]:
    return {"rows_per_second": rows / seconds, "cpu_ms_per_row": _ms(cpu, rows)}


def _ms(seconds: float, rows: int) -> float:
    return round(1000 * seconds / rows, 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", help="where the shards lie")
    parser.add_argument("asked", nargs="+", metavar="HOW:NAME", help="exact, fast or limit, and which shards")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--here", action="store_true", help="a data task's work alone, without Ray")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    if not arguments.here:
        # A CPU more than there is, for the coordinators of the splits, which wait most of the time.
        start_here(num_cpus=arguments.cores + 1, object_store_memory=_STORE_BYTES)
    for asked in arguments.asked:
        how, _, name = asked.partition(":")
        decoding: Any = "exact" if how == "limit" else how
        spec = StreamSpec(Dataset.open(f"{arguments.shards}/{name}"), BATCH_SIZE, decoding=decoding)
        if how == "limit":
            figures = limit(spec)
        elif arguments.here:
            figures = stream_here(spec, arguments.rows)
        else:
            figures = stream(spec, arguments.cores, arguments.rows)
        print(json.dumps({"shards": name, "how": how, **figures}), flush=True)


if __name__ == "__main__":
    main()
