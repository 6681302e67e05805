"""Gradients of an update: optimizers, norms, and when workers exchange them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import ParamsT


def adam(
    parameters: ParamsT,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
) -> torch.optim.Adam:
    """Return fused Adam, which takes its state to be laid out as the parameters are."""
    return torch.optim.Adam(parameters, learning_rate, betas=betas, weight_decay=weight_decay, fused=True)


@contextmanager
def unsynchronized(*modules: nn.Module) -> Iterator[None]:
    """Inside, gradients stay a worker's own; the next backward pass outside adds to them and averages."""
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        yield


def call_frozen(network: nn.Module, *inputs: Any) -> Any:
    """Return the network's answer, whose backward pass reaches the inputs and not its parameters."""
    frozen = {name: parameter.detach() for name, parameter in network.named_parameters()}
    return functional_call(network, frozen, inputs)


def gradient_penalty(scores: Tensor, inputs: Tensor) -> Tensor:
    """Return the mean over samples of (norm of the gradient - 1)², which can be differentiated again.

    Args:
        scores: a critic's answer to `inputs`, of any shape; their sum is differentiated, so that a sample's
            gradient is its own where samples do not affect each other.
        inputs: [B,...], which require a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    norms = (gradient.flatten(1) + 1e-16).norm(dim=1)  # which has no gradient at exactly 0
    penalty: Tensor = (norms - 1).square().mean()
    return penalty


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return the parameters that an optimizer steps."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the L2 norm over all gradients of the parameters, a scalar tensor."""
    gradients = (parameter.grad for parameter in parameters if parameter.grad is not None)
    return torch.nn.utils.get_total_norm(gradients)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return what autocast left in bfloat16 as float32, for losses."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
