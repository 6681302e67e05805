"""What pays in a training step on a GPU: recordings, memory format, cuDNN's own choice, the compiler.

python -m pipelines.benchmarks.gpu_update [--batch 8] [--precision bf16]

Width 64, tensors in memory; variants take turns in one process, medians of five turns of twenty steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

import torch

from charmnet.methods import CharmNetMethod, CudaGraphUpdate
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.training.parallel import wrap_module

WARM_UP_STEPS, STEPS, ROUNDS = 5, 20, 5


class Variant(NamedTuple):
    replayed: bool = True
    channels_last: bool = True
    cudnn_benchmark: bool = False
    compiled: bool = False


VARIANTS = {
    "as it is": Variant(replayed=False),
    "replayed": Variant(),
    "replayed, contiguous": Variant(channels_last=False),
    "replayed, cuDNN chooses": Variant(cudnn_benchmark=True),
    "compiled": Variant(replayed=False, compiled=True),
    "replayed, compiled": Variant(compiled=True),
}


def turns_of(variant: Variant, precision: str, batch: int) -> Callable[[int], float]:
    """A function that makes steps and tells the seconds of one."""
    batches = {domain: own.to("cuda") for domain, own in batches_in_memory(batch).items()}
    method = CharmNetMethod(precision=precision, seed=0).to("cuda")
    if not variant.channels_last:
        for module in method.modules.values():
            module.to(memory_format=torch.contiguous_format)
    if variant.compiled:
        method.distribute(lambda module: wrap_module(True, 1, module))
    update = CudaGraphUpdate(method) if variant.replayed else method.update

    def joined(composite: torch.Tensor, foreground_mask: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([composite, foreground_mask], dim=1)
        return inputs.contiguous(memory_format=torch.channels_last) if variant.channels_last else inputs

    def turn(steps: int) -> float:
        torch.backends.cudnn.benchmark = variant.cudnn_benchmark
        with patch("charmnet.methods.charmnet.network_input", joined):
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(steps):
                update(batches)
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / steps

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", default="bf16")
    arguments = parser.parse_args()
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    turns = {}
    for name, variant in VARIANTS.items():
        turns[name] = turns_of(variant, arguments.precision, arguments.batch)
        print(f"{name}: first steps in {WARM_UP_STEPS * turns[name](WARM_UP_STEPS):.1f} s", flush=True)
    taken = {name: [] for name in turns}
    for _ in range(ROUNDS):
        for name, turn in turns.items():
            taken[name].append(turn(STEPS))
    for name, seconds in taken.items():
        step = statistics.median(seconds)
        print(f"{name}: {1000 * step:.2f} ms, {arguments.batch / step:.0f} pairs/s")


if __name__ == "__main__":
    main()
