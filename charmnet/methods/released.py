"""Methods built of released weights, whose names and shapes tell the sizes of the networks."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from charmnet.errors import WeightsError
from charmnet.methods.base import Method
from charmnet.methods.one_domain import OneDomainMethod
from charmnet.networks.state import check_state, cpu_copy, load_strictly, precision_of

AnyMethod = TypeVar("AnyMethod", bound=Method)


def size_of(state: Mapping[str, Tensor], entry: str, source: str, dim: int = 0) -> int:
    """Return the size of an entry.

    Args:
        state: tensors by their released names.
        entry: name of the entry.
        source: the file or the network's name, for the message.
        dim: dimension whose size it is.

    Raises:
        WeightsError: there is no such entry, or it lacks the dimension.
    """
    if entry not in state or state[entry].ndim <= dim:
        raise WeightsError(
            f"{source}: not the released layout: expected {entry}, got {len(state)} entries beginning with "
            f"{list(state)[:3]}"
        )
    return state[entry].shape[dim]


def count_of(names: Iterable[str], pattern: str) -> int:
    """Return the number of equal parts, such as blocks, of which there are entries.

    Args:
        names: released names.
        pattern: regular expression of a name's beginning, whose group is the part's number.
    """
    matches = (re.match(pattern, name) for name in names)
    return len({match[1] for match in matches if match})


def build_with(
    kind: type[AnyMethod],
    options: Mapping[str, Any],
    states: Mapping[str, Mapping[str, Tensor]],
    sources: Mapping[str, str],
) -> AnyMethod:
    """Return a method with weights; networks without any start anew.

    Args:
        kind: class of the method.
        options: its options, as the weights tell them.
        states: state dicts by the networks' names in `modules`.
        sources: file that each of these was read from, for messages.

    Raises:
        WeightsError: they do not fit; names the source.
    """
    try:
        with torch.device("meta"):  # which takes no memory, whatever the file says
            expected = kind(**options)
    except ValueError as error:
        raise WeightsError(f"{next(iter(sources.values()))}: {error}") from error
    for name, state in states.items():
        check_state(state, expected.modules[name], sources[name])
    method = kind(**options)
    for name, state in states.items():
        load_strictly(method.modules[name], state, sources[name])
    return method


class NamedAsReleased(OneDomainMethod):
    """A method whose network's entries have their released names."""

    @classmethod
    @abstractmethod
    def released_options(cls, state: Mapping[str, Tensor], source: str) -> dict[str, Any]:
        """Return the options that a released state dict tells.

        Raises:
            WeightsError: it is of another layout; names the `source`.
        """

    @classmethod
    def from_released(
        cls,
        state: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float32,
        source: str = "released weights",
    ) -> Self:
        """Return a method with weights of the released layout, whose names and shapes tell its options.

        Raises:
            WeightsError: they do not fit; names the `source`.
        """
        options = cls.released_options(state, source) | {"precision": precision_of(dtype)}
        return build_with(cls, options, {"generator": state}, {"generator": source})

    def released_state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the weights on the CPU in the released layout."""
        return cpu_copy(self.modules["generator"].state_dict())
