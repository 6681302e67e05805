"""What the largest layers of the generator cost by memory format: why channels are last and biases left out.

CPU milliseconds at 4 samples, the least of a few times: the forward pass, the gradient of the input, that of
the weights, and that of weights and bias.

OMP_NUM_THREADS=1 python -m pipelines.benchmarks.update_layers
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read when torch first needs memory

import torch
from torch import nn

BATCH, TIMES = 4, 3
LAYERS = {  # width 64: the second of an encoder, the last two of a decoder
    "64 to 64, down from 128": (nn.Conv2d(64, 64, 4, 2, 1), 128),
    "64 to 64, up from 64": (nn.ConvTranspose2d(64, 64, 4, 2, 1), 64),
    "64 to 32, up from 128": (nn.ConvTranspose2d(64, 32, 4, 2, 1), 128),
}
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def milliseconds(action: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(TIMES):
        started = time.process_time()
        action()
        least = min(least, time.process_time() - started)
    return 1000 * least


def costs(layer: nn.Module, size: int, dtype: torch.dtype, memory_format: torch.memory_format) -> list[float]:
    layer = layer.to(dtype).to(memory_format=memory_format)
    features = torch.randn(BATCH, 64, size, size, dtype=dtype).contiguous(memory_format=memory_format)
    features.requires_grad_()
    output = layer(features)
    gradient = torch.randn_like(output)
    wanted = ([features], [layer.weight], [layer.weight, layer.bias])
    return [
        milliseconds(lambda: layer(features)),
        *(
            milliseconds(lambda what=what: torch.autograd.grad(output, what, gradient, retain_graph=True))
            for what in wanted
        ),
    ]


def main() -> None:
    print(f"{'layer':26}{'':10}{'':16} forward   input  weight    both")
    for name, (layer, size) in LAYERS.items():
        for dtype in (torch.float32, torch.bfloat16):
            for format_name, memory_format in FORMATS.items():
                values = costs(layer, size, dtype, memory_format)
                figures = "".join(f"{value:8.1f}" for value in values)
                print(f"{name:26}{str(dtype)[6:]:10}{format_name:16}{figures}", flush=True)


if __name__ == "__main__":
    main()
