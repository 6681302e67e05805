"""State dicts: strict reading, with errors that name every key that does not fit; other names; copies."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from charmnet.errors import WeightsError

_LISTED = 5


def check_state(state: object, network: nn.Module, source: str) -> dict[str, Tensor]:
    """Return the state dict if its keys, shapes and kinds of number are exactly the network's.

    Args:
        state: an object that was read, of any type.
        network: the network that it is for; may be on the meta device.
        source: the file or the network's name, for the message.

    Raises:
        WeightsError: with the first keys that are missing, unexpected, or of another shape or type.
    """
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{source}: expected a mapping of names to tensors, got {type(state).__name__}")
    expected = network.state_dict()
    problems = _listing("missing", [key for key in expected if key not in state])
    problems += _listing("unexpected", sorted(str(key) for key in state if key not in expected))
    problems += _listing(
        "wrong shape",
        [
            f"{key} {list(state[key].shape)}, expected {list(tensor.shape)}"
            for key, tensor in expected.items()
            if key in state and state[key].shape != tensor.shape
        ],
    )
    problems += _listing(
        "wrong type",
        [
            f"{key} {state[key].dtype}, expected {tensor.dtype}"
            for key, tensor in expected.items()
            if key in state and state[key].is_floating_point() != tensor.is_floating_point()
        ],
    )
    if problems:
        raise WeightsError(f"{source} does not fit {type(network).__name__}: {'; '.join(problems)}")
    return dict(state)


def load_strictly(network: nn.Module, state: object, source: str) -> None:
    """Copy the state dict into the network after `check_state`; errors are the same."""
    network.load_state_dict(check_state(state, network, source))


def _listing(kind: str, entries: list[str]) -> list[str]:
    if not entries:
        return []
    more = f" and {len(entries) - _LISTED} more" if len(entries) > _LISTED else ""
    return [f"{kind}: {', '.join(entries[:_LISTED])}{more}"]


def rename(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the state dict with module names replaced; entries of other modules keep their names."""
    renamed = {}
    for key, tensor in state.items():
        prefix = next((name for name in names if key.startswith(f"{name}.")), None)
        renamed[key if prefix is None else names[prefix] + key.removeprefix(prefix)] = tensor
    return renamed


def cpu_copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict detached from the network, on the CPU, its tensors contiguous."""
    contiguous = torch.contiguous_format
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=contiguous) for name, tensor in state.items()
    }


def precision_of(dtype: torch.dtype) -> str:
    """Return the `precision` of a method whose parameters have the dtype."""
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype is {dtype}, expected torch.float32 or torch.float64")
    return "float64" if dtype == torch.float64 else "float32"
