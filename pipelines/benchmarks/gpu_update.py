"""Variants of the training step on a GPU: CUDA graphs, memory format, cuDNN's own choice, the compiler.

  python -m pipelines.benchmarks.gpu_update [--batch 8] [--precision bf16]

Width 64, tensors in memory; variants take turns in one process, medians of five turns of twenty steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

import torch

from charmnet.methods import CharmNetMethod, CudaGraphUpdate
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.training.parallel import wrap_module

WARM_UP_STEPS = 5
STEPS = 20
ROUNDS = 5


class Variant(NamedTuple):
    """Settings of an update."""

    graph: bool = True
    channels_last: bool = True
    cudnn_benchmark: bool = False
    compiled: bool = False


VARIANTS = {
    "kernel by kernel": Variant(graph=False),
    "graph": Variant(),
    "graph, contiguous": Variant(channels_last=False),
    "graph, cuDNN chooses": Variant(cudnn_benchmark=True),
    "compiled": Variant(graph=False, compiled=True),
    "graph, compiled": Variant(compiled=True),
}


def stepper(variant: Variant, precision: str, batch: int) -> Callable[[int], float]:
    """Return a function that makes a number of steps and returns the seconds of one."""
    batches = {domain: domain_batch.to("cuda") for domain, domain_batch in batches_in_memory(batch).items()}
    method = CharmNetMethod(precision=precision, seed=0).to("cuda")
    if not variant.channels_last:
        for module in method.modules.values():
            module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if variant.compiled:
        method.distribute(lambda module: wrap_module(compiled=True, num_workers=1, module=module))
    update = CudaGraphUpdate(method) if variant.graph else method.update

    def network_input(composite: torch.Tensor, foreground_mask: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([composite, foreground_mask], dim=1)
        return inputs.contiguous(memory_format=torch.channels_last) if variant.channels_last else inputs

    def make_steps(steps: int) -> float:
        torch.backends.cudnn.benchmark = variant.cudnn_benchmark
        with patch("charmnet.methods.charmnet.network_input", network_input):
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(steps):
                update(batches)
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / steps

    return make_steps


def main() -> None:
    """Print the seconds of the first steps of each variant, then its median step."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--batch", type=int, default=8, help="pairs a step (default 8)")
    parser.add_argument("--precision", default="bf16", help="float32 or bf16 (default bf16)")
    arguments = parser.parse_args()
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    steppers = {}
    for name, variant in VARIANTS.items():
        steppers[name] = stepper(variant, arguments.precision, arguments.batch)
        seconds = WARM_UP_STEPS * steppers[name](WARM_UP_STEPS)
        print(f"{name}: first steps in {seconds:.1f} s", flush=True)
    step_seconds: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(ROUNDS):
        for name, make_steps in steppers.items():
            step_seconds[name].append(make_steps(STEPS))
    for name, values in step_seconds.items():
        median = statistics.median(values)
        print(f"{name}: {1000 * median:.2f} ms, {arguments.batch / median:.0f} pairs/s")


if __name__ == "__main__":
    main()
