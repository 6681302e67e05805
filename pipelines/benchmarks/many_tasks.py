"""Throughput of many data tasks side by side, on a machine that need not have their cores.

  python -m pipelines.benchmarks.many_tasks --source URI --tasks 7 --milliseconds 20

Each task waits in place of decoding, so that it takes no core. Samples a second are compared with those of as
many tasks that never rest: the difference is lost to handing blocks on in order and to Ray Data's limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pipelines.benchmarks.options import benchmark_parser
from pipelines.ingest.decoding import decode
from pipelines.ingest.execution import TaskResources
from pipelines.ingest.lanes import LaneShard
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.cluster import disconnect, start_here
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

WARM_UP_SECONDS = 10
SECONDS = 30
_ENOUGH_STEPS = 1_000_000


def wait_in_place_of_decoding(seconds: float) -> Callable[[], None]:
    """Return a set-up function for a worker process: every sample becomes its first one, after a pause."""

    def set_up() -> None:
        from pipelines.ingest import sample_decoder  # noqa: PLC0415 - in the worker process

        first: list[Any] = []

        def wait(*arguments: Any, **options: Any) -> Any:
            if not first:
                first.append(decode(*arguments, **options))
            time.sleep(seconds)
            return first[0]

        vars(sample_decoder)["decode"] = wait

    return set_up


def sample_rate(shard: LaneShard) -> float:
    """Return samples a second after the warm-up."""
    count = 0
    measured_from = None
    for block in shard.steps(0, _ENOUGH_STEPS):
        now = time.perf_counter()
        if measured_from is None:
            measured_from = now + WARM_UP_SECONDS
        if now > measured_from:
            count += len(block["step"])
        if now > measured_from + SECONDS:
            break
    return count / SECONDS


def main() -> None:
    """Print the rate, that of tasks that never rest, and the ratio of the two."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--source", required=True, metavar="URI", help="shards of either domain")
    parser.add_argument("--tasks", type=int, default=7)
    parser.add_argument("--milliseconds", type=float, default=20.0, help="of a sample (default 20)")
    parser.add_argument("--batch", type=int, default=8, help="samples a step (default 8)")
    arguments = parser.parse_args()
    hook = wait_in_place_of_decoding(arguments.milliseconds / 1000)
    start_here(num_cpus=arguments.tasks + 1, runtime_env={"worker_process_setup_hook": hook})
    spec = StreamSpec(Dataset.open(Location.of(arguments.source)), arguments.batch)
    shard = LaneShard(spec, rank=0, num_workers=1, resources=TaskResources(max_cpus=float(arguments.tasks)))
    rate = sample_rate(shard)
    never_resting = arguments.tasks * 1000 / arguments.milliseconds
    print("samples/s | of tasks that never rest | ratio")
    print(f"{rate:.0f} | {never_resting:.0f} | {rate / never_resting:.2f}")
    disconnect()


if __name__ == "__main__":
    main()
