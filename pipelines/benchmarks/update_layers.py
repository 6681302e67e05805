"""Cost of the generator's largest layers by memory format: why channels are last and biases are left out.

  OMP_NUM_THREADS=1 python -m pipelines.benchmarks.update_layers

CPU milliseconds at 4 samples, the least of a few times: the forward pass, the gradient of the input, that of
the weights, and that of weights and bias.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from pipelines.benchmarks.options import benchmark_parser
from pipelines.runtime.cluster import prepare_environment

BATCH = 4
TIMES = 3
CHANNELS = 64
LAYERS: dict[str, tuple[type[nn.Conv2d | nn.ConvTranspose2d], int, int]] = {
    "64 to 64, down from 128": (nn.Conv2d, 64, 128),
    "64 to 64, up from 64": (nn.ConvTranspose2d, 64, 64),
    "64 to 32, up from 128": (nn.ConvTranspose2d, 32, 128),
}
"""Kind, output channels, side of the input in pixels: an encoder's second layer, a decoder's last two."""

FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def least_milliseconds(action: Callable[[], object]) -> float:
    """Return the least CPU time of `TIMES` calls."""
    least = float("inf")
    for _ in range(TIMES):
        started = time.process_time()
        action()
        least = min(least, time.process_time() - started)
    return 1000 * least


def layer_milliseconds(
    layer: nn.Conv2d | nn.ConvTranspose2d, side: int, dtype: torch.dtype, memory_format: torch.memory_format
) -> list[float]:
    """Return the times of the forward pass and of the gradients of input, weights, weights and bias."""
    layer.to(dtype).to(memory_format=memory_format)  # type: ignore[call-overload]
    features = torch.randn(BATCH, CHANNELS, side, side, dtype=dtype).contiguous(memory_format=memory_format)
    features.requires_grad_()
    output = layer(features)
    gradient = torch.randn_like(output)
    assert layer.bias is not None
    return [
        least_milliseconds(partial(layer, features)),
        *(
            least_milliseconds(partial(torch.autograd.grad, output, inputs, gradient, retain_graph=True))
            for inputs in ([features], [layer.weight], [layer.weight, layer.bias])
        ),
    ]


def main() -> None:
    """Print a line for each layer, precision and format."""
    benchmark_parser(__doc__).parse_args()
    prepare_environment()  # before torch first needs memory
    print(f"{'layer':26}{'':10}{'':16} forward   input  weight    both")
    for name, (kind, out_channels, side) in LAYERS.items():
        layer = kind(CHANNELS, out_channels, 4, 2, 1)
        for dtype in (torch.float32, torch.bfloat16):
            for format_name, memory_format in FORMATS.items():
                milliseconds = layer_milliseconds(layer, side, dtype, memory_format)
                figures = "".join(f"{value:8.1f}" for value in milliseconds)
                print(f"{name:26}{str(dtype)[6:]:10}{format_name:16}{figures}", flush=True)


if __name__ == "__main__":
    main()
