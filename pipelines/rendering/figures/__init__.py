"""Foregrounds by category, built of shapes at real-world size; no two are alike."""

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
    """Build a foreground that stands on z = 0 about the origin and faces -y.

    Raises:
        ValueError: the category has no builder; the message lists the categories that have one.
    """
    if category not in BUILDERS:
        raise ValueError(f"unknown category {category!r}; expected one of {', '.join(BUILDERS)}")
    return BUILDERS[category](rng)
