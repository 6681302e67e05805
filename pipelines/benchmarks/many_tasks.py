"""How well many data tasks keep each other company, on a machine that need not have their cores.

  python -m pipelines.benchmarks.many_tasks --source URI --tasks 7 --milliseconds 20

Each task waits in place of decoding, so that it takes no core. Samples a second against those of as many
tasks that never rest: what is lost is lost to handing blocks on in order and to Ray Data's limits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import ray

from pipelines.ingest.lanes import LaneShard, TaskResources
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.cluster import start_here
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset

WARM_UP_SECONDS = 10
SECONDS = 30


def waiting_in_place_of_decoding(seconds: float) -> Callable[[], None]:
    """For a worker process, before its first task."""

    def set_up() -> None:
        from pipelines.ingest import source

        decode, decoded = source.decode, []

        def wait(*arguments: Any) -> Any:
            if not decoded:
                decoded.append(decode(*arguments))
            time.sleep(seconds)
            return decoded[0]

        source.decode = wait

    return set_up


def rate(shard: LaneShard) -> float:
    """Samples a second after the warm-up."""
    started, counted = None, 0
    for block in shard.steps(0, 1_000_000):
        now = time.perf_counter()
        started = started or now + WARM_UP_SECONDS
        if now > started:
            counted += len(block["step"])
        if now > started + SECONDS:
            break
    return counted / SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, metavar="URI", help="shards of either domain")
    parser.add_argument("--tasks", type=int, default=7)
    parser.add_argument("--milliseconds", type=float, default=20.0, help="that a sample takes")
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    hook = waiting_in_place_of_decoding(args.milliseconds / 1000)
    start_here(num_cpus=args.tasks + 1, runtime_env={"worker_process_setup_hook": hook})
    spec = StreamSpec(Dataset.open(Location.of(args.source)), args.batch)
    shard = LaneShard(spec, rank=0, num_workers=1, resources=TaskResources(max_cpus=float(args.tasks)))
    got, most = rate(shard), args.tasks * 1000 / args.milliseconds
    print("samples/s | of tasks that never rest | ratio")
    print(f"{got:.0f} | {most:.0f} | {got / most:.2f}")
    ray.shutdown()


if __name__ == "__main__":
    main()
