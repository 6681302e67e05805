"""Where the time of a training step goes, by kind of operation.

python -m pipelines.benchmarks.update_profile [--precision bf16] [--batch 4] [--threads 2]
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import torch
from torch.profiler import ProfilerActivity, profile

from pipelines.benchmarks.update_worker import PLAIN, stepper
from pipelines.runtime.cluster import prepare_environment

STEPS = 3
KINDS = {  # the first that an operation's name contains
    "convolution_backward": "convolutions, backward",
    "conv": "convolutions",
    "batch_norm_backward": "batch norms, backward",
    "batch_norm": "batch norms",
    "elu_backward": "ELU, backward",
    "elu": "ELU",
    "adam": "Adam",
    "add": "sums",
    "copy_": "casts and copies",
    "fill_": "zeros",
}


def main() -> None:
    prepare_environment()  # before torch first needs memory: as `charmnet train` has it
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", default="float32", help=f"float32, bf16, or {PLAIN}")
    for flag, default in (("width", 64), ("batch", 4), ("threads", 2)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    step = stepper(arguments.precision, arguments.width, arguments.batch)
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            step()
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        kind = next((kind for part, kind in KINDS.items() if part in event.key.lower()), "all else")
        spent[kind] += event.self_cpu_time_total
    total = sum(spent.values())
    for kind, microseconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{kind:24} {microseconds / STEPS / 1000:8.1f} ms {microseconds / total:6.1%}")


if __name__ == "__main__":
    main()
