"""Losses of CharmNet's first steps on drawn batches, to be compared with those of another day.

  python -m pipelines.benchmarks.step_losses --device cuda --json losses.json
  python -m pipelines.benchmarks.step_losses --device cuda --assert-equal losses.json

On a GPU the update is recorded and replayed, as in training. Losses are those of one machine and one version
of torch: only there are they the same to the last bit.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from charmnet.methods import CharmNetMethod, CudaGraphUpdate
from pipelines.benchmarks.options import benchmark_parser
from pipelines.benchmarks.tensors import batches_in_memory

Losses = list[dict[str, float]]


def step_losses(steps: int, batch: int, width: int, precision: str, device: str) -> Losses:
    """Return every metric of each step; step n has the pictures of seed n."""
    method = CharmNetMethod(width=width, precision=precision, seed=0).to(device)
    update = CudaGraphUpdate(method) if device == "cuda" else method.update
    losses = []
    for step in range(steps):
        batches = {domain: made.to(device) for domain, made in batches_in_memory(batch, step).items()}
        losses.append({name: value.item() for name, value in update(batches).items()})
    return losses


def difference(losses: Losses, expected: Losses) -> str | None:
    """Say where losses first differ from those expected, None if nowhere."""
    if len(losses) != len(expected):
        return f"{len(losses)} steps, expected {len(expected)}"
    for step, (here, there) in enumerate(zip(losses, expected, strict=True)):
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                return f"step {step}: {name} is {here.get(name)}, expected {there.get(name)}"
    return None


def main() -> None:
    """Print the first and the last total, write or compare all."""
    arguments = _arguments()
    torch.backends.cudnn.deterministic = True
    sizes = (arguments.steps, arguments.batch, arguments.width)
    losses = step_losses(*sizes, arguments.precision, arguments.device)
    print(f"total: {losses[0]['total']:.6f} in step 0, {losses[-1]['total']:.6f} in step {len(losses) - 1}")
    if arguments.json:
        arguments.json.write_text(json.dumps(losses, indent=1))
    if arguments.assert_equal:
        if found := difference(losses, json.loads(arguments.assert_equal.read_text())):
            sys.exit(f"losses differ from {arguments.assert_equal}: {found}")
        print(f"the same as {arguments.assert_equal}, to the last bit")


def _arguments() -> argparse.Namespace:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--steps", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=8, help="pairs a step (default: %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="of the networks (default: %(default)s)")
    parser.add_argument("--precision", default="float32", help="float32 or bf16 (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the losses there")
    parser.add_argument("--assert-equal", type=Path, metavar="FILE", help="of an earlier --json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
