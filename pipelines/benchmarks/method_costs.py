"""What a method's update costs: parameters, operations, CPU seconds and memory, on pictures of noise.

  python -m pipelines.benchmarks.method_costs dht [disentangled=false ...]

On one thread; operations are multiplications and additions of convolutions and matrix products. The second of
two updates is timed. Memory is the most that the process held, its programs included.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from charmnet.methods import METHODS, HarmonizationMethod, Method, TranslationMethod, build_method
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.processes import peak_bytes
from pipelines.study.timing import random_batches

GIGA = 1e9


def forward_gflop(method: Method) -> float:
    """Return the operations of applying the method to one picture of the size that it is trained on."""
    picture, mask = torch.zeros(1, 3, method.size, method.size), torch.ones(1, 1, method.size, method.size)
    with _flop_counter() as counter:
        if isinstance(method, HarmonizationMethod):
            method.harmonize(picture, mask)
        elif isinstance(method, TranslationMethod):
            method.translate(picture)
    return float(counter.get_total_flops() / GIGA)


def update_seconds(method: Method, samples: int) -> float:
    """Return the CPU seconds of an update after the first one, by sample of each domain."""
    batches = random_batches(method, samples)
    method.update(batches)
    started = time.process_time()
    method.update(batches)
    return (time.process_time() - started) / samples


def main() -> None:
    """Print the costs of one method."""
    arguments = _arguments()
    torch.set_num_threads(1)
    options = dict(option.split("=", 1) for option in arguments.options)
    method = build_method(arguments.method, seed=0, **options)
    for name, network in method.modules.items():
        print(f"{name}: {sum(parameter.numel() for parameter in network.parameters()):,} parameters")
    print(f"applied: {forward_gflop(method):,.1f} GFLOP a picture", flush=True)
    samples = arguments.samples or method.requirements.smallest_batch
    seconds = update_seconds(method, samples)
    print(f"an update of {samples}: {seconds:.1f} CPU seconds a sample")
    print(f"{peak_bytes() / GIGA:.1f} GB at the most; torch {torch.__version__}")


def _flop_counter() -> FlopCounterMode:
    # torch's own table lacks the attention of CPUs; it is counted as that of GPUs is.
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001 - an operation's name
    counter = FlopCounterMode(display=False)
    counter.flop_registry[fused] = flop_registry[torch.ops.aten._scaled_dot_product_flash_attention]  # noqa: SLF001
    return counter


def _arguments() -> argparse.Namespace:
    parser = benchmark_parser(__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("options", nargs="*", metavar="FIELD=VALUE", help="options of the method")
    parser.add_argument("--samples", type=int, help="of each domain; by default as few as the method takes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
