"""CPU time of Ray Data's control loop while training is slower than its data, with and without the throttle.

python -m pipelines.benchmarks.stalled_consumer --data URI
"""

from __future__ import annotations

import time

from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.processes import coordinator_cpu_seconds
from pipelines.ingest.execution import TaskResources, stream_dataset
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.cluster import connect
from pipelines.shards.reading import Dataset

SECONDS = 15
STEP_SECONDS = 1.0
_WARM_UP_STEPS = 5


def cores_used(spec: StreamSpec, throttled: bool) -> float:
    """Return CPU seconds of the split coordinator a second, while a consumer takes a step every second."""
    dataset = stream_dataset(spec, 0, 10_000, spec.batch_size, TaskResources())
    if not throttled:
        dataset.context.custom_execution_callback_classes = []
    (iterator,) = dataset.streaming_split(1, equal=False)
    # batch_size=None keeps blocks as they are; Ray's annotation lacks it.
    batches = iter(
        iterator.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2)  # type: ignore[arg-type]
    )
    for _ in range(_WARM_UP_STEPS):
        next(batches)
        time.sleep(STEP_SECONDS)
    before = coordinator_cpu_seconds()
    started = time.monotonic()
    while time.monotonic() - started < SECONDS:
        next(batches)
        time.sleep(STEP_SECONDS)
    return (coordinator_cpu_seconds() - before) / (time.monotonic() - started)


def main() -> None:
    """Measure both ways one after the other and print the cores that they use."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--data", required=True, metavar="URI")
    spec = StreamSpec(Dataset.open(parser.parse_args().data), batch_size=8)
    connect()
    plain = cores_used(spec, throttled=False)
    throttled = cores_used(spec, throttled=True)
    print(f"CPU cores used by the control loop: {plain:.2f} without the throttle, {throttled:.2f} with it")


if __name__ == "__main__":
    main()
