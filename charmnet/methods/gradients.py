"""Gradients of an update: optimizers, norms, and when workers exchange them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import ParamsT


def adam(
    parameters: ParamsT, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Adam:
    """Return fused Adam, which takes its state to be laid out as the parameters are."""
    return torch.optim.Adam(parameters, learning_rate, betas=betas, fused=True)


@contextmanager
def unsynchronized(*modules: nn.Module) -> Iterator[None]:
    """Inside, gradients stay a worker's own; the next backward pass outside adds to them and averages."""
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        yield


def gradient_norm(*modules: nn.Module) -> Tensor:
    """Return the L2 norm over all gradients of the modules, a scalar tensor."""
    gradients: Iterable[Tensor] = (p.grad for m in modules for p in m.parameters() if p.grad is not None)
    return torch.nn.utils.get_total_norm(gradients)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return what autocast left in bfloat16 as float32, for losses."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
