"""What the methods share whose result comes out of CharmNet's generator or its real path alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import ParamsT

from charmnet.methods.base import Method
from charmnet.networks.charmnet import CharmNet

PRECISIONS = ("float32", "bf16", "float64")
"""Parameters are float32, float32 with convolutions of the update in bfloat16 (autocast), or float64."""


class GeneratorMethod(Method):
    """A method whose `modules["generator"]` does the harmonizing."""

    def __init__(self, modules: dict[str, nn.Module], precision: str) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
        dtype = torch.float64 if precision == "float64" else torch.float32
        # Convolutions are fastest with channels last; state dicts hold the same numbers in the same shapes.
        self.modules = {
            name: module.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for name, module in modules.items()
        }
        self._half = precision == "bf16"

    @property
    def generator(self) -> CharmNet:
        """The network that harmonizes."""
        generator = self.modules["generator"]
        assert isinstance(generator, CharmNet)
        return generator

    @torch.no_grad()
    def harmonize_with_attention(
        self, composite: Tensor, foreground_mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The real path's result and attention, whatever `precision` computed in the parameters' own."""
        generator = self.generator
        was_training = generator.training
        if was_training:  # going through all its parts takes a few milliseconds
            generator.eval()
        try:
            result = generator(composite, foreground_mask)
        finally:
            if was_training:
                generator.train()
        return result.harmonized, result.attention

    def autocast(self) -> torch.autocast:
        """The context that networks run in during an update."""
        device = next(self.generator.parameters()).device
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._half)


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Inside, torch's global CPU generator starts from `seed`, and is put back after; None does nothing."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def at_least_float32(tensor: Tensor) -> Tensor:
    """What autocast left in bfloat16 made float32, for losses."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def adam(parameters: ParamsT, learning_rate: float) -> torch.optim.Adam:
    """Adam in one pass over each parameter, which takes its state to be laid out as the parameter is."""
    return torch.optim.Adam(parameters, learning_rate, fused=True)


@contextmanager
def unsynchronized(*modules: nn.Module) -> Iterator[None]:
    """Inside, gradients stay a worker's own; the next backward pass outside adds to them and averages."""
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        yield


def gradient_norm(*modules: nn.Module) -> Tensor:
    """L2 norm over all gradients of the modules."""
    gradients: Iterable[Tensor] = (p.grad for m in modules for p in m.parameters() if p.grad is not None)
    return torch.nn.utils.get_total_norm(gradients)


def precision_of(dtype: torch.dtype) -> str:
    """The `precision` whose parameters have the dtype."""
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype is {dtype}, expected torch.float32 or torch.float64")
    return "float64" if dtype == torch.float64 else "float32"


def cpu_copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict detached from the network, on the CPU, its tensors contiguous."""
    contiguous = torch.contiguous_format
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=contiguous) for name, tensor in state.items()
    }
