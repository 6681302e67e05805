"""What a method's update costs: parameters, operations, CPU seconds and memory, on pictures of noise.

  python -m pipelines.benchmarks.method_costs dht [disentangled=false ...]

On one thread; operations are multiplications and additions of convolutions and matrix products. They are
counted in a first update, a second one is timed. Memory is the most that the process held, its programs
included.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from charmnet.methods import METHODS, HarmonizationMethod, Method, TranslationMethod, build_method
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.processes import peak_bytes
from pipelines.study.timing import random_batches

GIGA = 1e9


def forward_gflop(method: Method) -> float:
    """Return the operations of applying the method to one picture of the size that it is trained on."""
    picture, mask = torch.zeros(1, 3, method.size, method.size), torch.ones(1, 1, method.size, method.size)
    with FlopCounterMode(display=False) as counter:
        if isinstance(method, HarmonizationMethod):
            method.harmonize(picture, mask)
        elif isinstance(method, TranslationMethod):
            method.translate(picture)
    return float(counter.get_total_flops() / GIGA)


def update_costs(method: Method, samples: int) -> tuple[float, float]:
    """Return the GFLOP and the CPU seconds of an update, by sample of each domain."""
    batches = random_batches(method, samples)
    with FlopCounterMode(display=False) as counter:
        method.update(batches)
    started = time.process_time()
    method.update(batches)
    seconds = time.process_time() - started
    return float(counter.get_total_flops() / GIGA / samples), seconds / samples


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
    gflop, seconds = update_costs(method, samples)
    print(f"an update of {samples}: {gflop:,.1f} GFLOP and {seconds:.1f} CPU seconds a sample, ", end="")
    print(f"{peak_bytes() / GIGA:.1f} GB at the most; torch {torch.__version__}")


def _arguments() -> argparse.Namespace:
    parser = benchmark_parser(__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("options", nargs="*", metavar="FIELD=VALUE", help="options of the method")
    parser.add_argument("--samples", type=int, help="of each domain; by default as few as the method takes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
