"""Time of a training step by kind of operation.

python -m pipelines.benchmarks.update_profile [--precision bf16] [--batch 4] [--threads 2]
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch.profiler import ProfilerActivity, profile

from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.update_worker import PLAIN, stepper
from pipelines.runtime.cluster import prepare_environment

STEPS = 3
KINDS = {
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
"""Kind by a part of the operation's name; the first part that the name contains decides."""


def main() -> None:
    """Profile a few steps and print milliseconds and share of each kind, the largest first."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--precision", default="float32", help=f"float32, bf16, or {PLAIN}")
    for flag, default in (("width", 64), ("batch", 4), ("threads", 2)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    arguments = parser.parse_args()
    prepare_environment()  # before torch first needs memory, as in `charmnet train`
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
