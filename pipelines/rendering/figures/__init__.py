"""Foregrounds by category: built from shapes alone, at real-world size, no two alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.rendering.description import Thing
from pipelines.rendering.figures import cattle, dogs, people

BUILDERS: dict[str, Callable[[np.random.Generator], Thing]] = {
    "human": people.human,
    "cow": cattle.cow,
    "dog": dogs.dog,
}


def build(category: str, rng: np.random.Generator) -> Thing:
    """A foreground thing that stands on z = 0 about the origin and faces -y.

    Raises:
        ValueError: the category has no builder; the message lists those that have.
    """
    if category not in BUILDERS:
        raise ValueError(f"unknown category {category!r}; expected one of {', '.join(BUILDERS)}")
    return BUILDERS[category](rng)
