"""What Ray Data's control loop burns while training is slower than its data, with pacing and without.

python -m pipelines.benchmarks.stalled_consumer --data URI
"""

from __future__ import annotations

import argparse
import time

import psutil

from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.cluster import connect
from pipelines.shards.reading import Dataset

SECONDS = 15
STEP_SECONDS = 1.0


def burnt(spec: StreamSpec, paced: bool) -> float:
    """CPU seconds of the split coordinator a second, while a consumer takes a step every second."""
    from pipelines.ingest.lanes import TaskResources, stream_dataset

    dataset = stream_dataset(spec, 0, 10_000, spec.batch_size, TaskResources())
    if not paced:
        dataset.context.custom_execution_callback_classes = []
    (iterator,) = dataset.streaming_split(1, equal=False)
    batches = iter(iterator.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2))
    for _ in range(5):
        next(batches)
        time.sleep(STEP_SECONDS)
    before, started = _coordinator_seconds(), time.monotonic()
    while time.monotonic() - started < SECONDS:
        next(batches)
        time.sleep(STEP_SECONDS)
    return (_coordinator_seconds() - before) / (time.monotonic() - started)


def _coordinator_seconds() -> float:
    """CPU time of the newest SplitCoordinator process below this one."""
    found = [
        p for p in psutil.Process().children(recursive=True) if "SplitCoordinator" in " ".join(p.cmdline())
    ]
    newest = max(found, key=lambda p: p.create_time())
    return newest.cpu_times().user + newest.cpu_times().system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="URI")
    spec = StreamSpec(Dataset.open(parser.parse_args().data), batch_size=8)
    connect()
    plain, paced = burnt(spec, paced=False), burnt(spec, paced=True)
    print(f"CPU cores used by the control loop: {plain:.2f} without pacing, {paced:.2f} with it")


if __name__ == "__main__":
    main()
