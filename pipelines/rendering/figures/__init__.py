"""Foregrounds by category: built from shapes alone, at real-world size, no two alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.rendering.description import Thing
from pipelines.rendering.figures import cakes, cars, cattle, dogs, motorcycles, objects, people, seats

BUILDERS: dict[str, Callable[[np.random.Generator], Thing]] = {
    "human": people.human,
    "bottle": objects.bottle,
    "cake": cakes.cake,
    "motorcycle": motorcycles.motorcycle,
    "cow": cattle.cow,
    "couch": seats.couch,
    "apple": objects.apple,
    "car": cars.car,
    "chair": seats.chair,
    "dog": dogs.dog,
    "knife": objects.knife,
}


def build(category: str, rng: np.random.Generator) -> Thing:
    """A foreground thing that stands on z = 0 about the origin and faces -y.

    Raises:
        ValueError: the category has no builder; the message lists those that have.
    """
    if category not in BUILDERS:
        raise ValueError(f"unknown category {category!r}; expected one of {', '.join(BUILDERS)}")
    return BUILDERS[category](rng)
