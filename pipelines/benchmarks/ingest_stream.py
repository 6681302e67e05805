"""Taking training batches from shards as a worker does, and what that costs: a process of `bench ingest`.

The consumer does nothing with its batches, so the stream is as fast as it can be. CPU time is that of this
process and of all that it started: Ray's servers and workers, not the object store.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import psutil

from charmnet.images import decode_rgb
from pipelines.cluster import start_here
from pipelines.ingest.window import StreamSpec
from pipelines.shards.reading import Dataset

BATCH_SIZE = 8
_WARM_STEPS = 8
_STORE_BYTES = 600 << 20


def cpu_seconds() -> float:
    """Of this process and all its descendants since they began, those that ended included."""
    return sum(map(_cpu_seconds, (psutil.Process(), *psutil.Process().children(recursive=True))))


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has just ended; its parent counts it
        return 0.0
    return sum(times[:4])


def stream(uri: str, cores: int, decoding: str, rows: int) -> dict[str, float]:
    """Rows per second and CPU milliseconds per row of a whole stream after a short one."""
    import ray

    from pipelines.ingest.lanes import LaneShard, _Coordinator

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    start_here(num_cpus=cores + 1, object_store_memory=_STORE_BYTES)
    spec = StreamSpec(Dataset.open(uri), BATCH_SIZE, decoding=decoding)  # type: ignore[arg-type]
    coordinator = _Coordinator.remote(spec, 1, 1.0, float(cores), None)  # type: ignore[attr-defined]
    shard = LaneShard(coordinator, spec, 0, 1)
    steps = rows // BATCH_SIZE
    for _ in shard.steps(0, _WARM_STEPS):
        pass
    cpu, started = cpu_seconds(), time.perf_counter()
    for block in shard.steps(_WARM_STEPS, _WARM_STEPS + steps):
        assert block["composite"].shape == (BATCH_SIZE, 256, 256, 3)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    ray.shutdown()
    return {
        "rows_per_second": steps * BATCH_SIZE / seconds,
        "cpu_ms_per_row": 1000 * cpu / steps / BATCH_SIZE,
    }


def limit(uri: str, rows: int) -> dict[str, float]:
    """What libjpeg-turbo alone takes to decode a row's pictures in full, from memory."""
    from pipelines.ingest.source import SampleSource

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    spec = StreamSpec(Dataset.open(uri), BATCH_SIZE)
    source, pictures = SampleSource(spec), []
    for run in spec.plan.runs(0, min(rows, 64)):
        for reference in map(tuple, run.references.tolist()):
            sample = source.encoded(run.epoch, reference)
            pictures.append([sample.composite or sample.foreground or b"", sample.ground_truth])
    cpu = time.process_time()
    for pair in pictures:
        for picture in pair:
            decode_rgb(picture)
    seconds = time.process_time() - cpu
    return {"rows_per_second": len(pictures) / seconds, "cpu_ms_per_row": 1000 * seconds / len(pictures)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["exact", "fast", "limit"])
    parser.add_argument("uri")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--rows", type=int, default=512)
    arguments = parser.parse_args()
    if arguments.what == "limit":
        figures = limit(arguments.uri, arguments.rows)
    else:
        figures = stream(arguments.uri, arguments.cores, arguments.what, arguments.rows)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
