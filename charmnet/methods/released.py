"""Sizes of a network as the names and shapes of its released weights tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from charmnet.errors import WeightsError


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
