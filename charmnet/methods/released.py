"""Methods built of released weights, whose names and shapes tell the sizes of the networks."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor

from charmnet.errors import WeightsError
from charmnet.methods.base import Method
from charmnet.methods.one_domain import OneDomainMethod
from charmnet.networks.state import check_state, cpu_copy, load_strictly, precision_of, rename

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


class ReleasedNetworks(Method):
    """A method whose networks were released one by one."""

    released_networks: ClassVar[Mapping[str, str]]
    """The released code's names of the networks, and this project's."""
    released_inference: ClassVar[tuple[str, ...]]
    """Those of the networks that applying the method needs."""

    @classmethod
    @abstractmethod
    def released_options(
        cls, states: Mapping[str, Mapping[str, Tensor]], sources: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return the options that state dicts tell.

        Args:
            states: by their keys in `released_networks`; entries have this project's names.
            sources: file of each, for messages.

        Raises:
            WeightsError: one is of another layout; names its source.
        """

    @classmethod
    def released_names(cls) -> Mapping[str, Mapping[str, str]]:
        """Return each network's module names as released, with this project's, where these differ."""
        return {}

    @classmethod
    def from_released(
        cls,
        states: Mapping[str, Mapping[str, Tensor]],
        dtype: torch.dtype = torch.float32,
        sources: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a method with weights of the released layout, whose names and shapes tell its options.

        Args:
            states: state dicts by their keys in `released_networks`; networks without one start anew.
            dtype: of the networks.
            sources: file that each was read from, for messages.

        Raises:
            WeightsError: they do not fit, or one that applying the method needs is missing; names the source.
        """
        networks, needed = cls.released_networks, cls.released_inference
        if not set(needed) <= set(states) <= set(networks):
            raise WeightsError(
                f"got weights of {', '.join(states) or 'nothing'}, expected {' and '.join(needed)} of "
                f"{cls.name}, and any other of {', '.join(networks)}"
            )
        names = cls.released_names()
        renamed = {name: rename(state, names.get(name, {})) for name, state in states.items()}
        sources = {name: f"released {name} of {cls.name}" for name in states} | dict(sources or {})
        options = cls.released_options(renamed, sources) | {"precision": precision_of(dtype)}
        given = {name: own for name, own in networks.items() if name in states}
        return build_with(
            cls,
            options,
            {own: renamed[name] for name, own in given.items()},
            {own: sources[name] for name, own in given.items()},
        )

    @classmethod
    def from_released_generator(cls, state: Mapping[str, Tensor], source: str) -> Self:
        """Return a method with the released weights of the one network that is applied, of file `source`."""
        (name,) = cls.released_inference
        return cls.from_released({name: state}, sources={name: source})

    def released_state_dicts(self) -> dict[str, dict[str, Tensor]]:
        """Return copies of all weights on the CPU in the released layout, by `released_networks`."""
        names = self.released_names()
        return {
            name: cpu_copy(
                rename(
                    self.modules[own].state_dict(),
                    {new: released for released, new in names.get(name, {}).items()},
                )
            )
            for name, own in self.released_networks.items()
        }
