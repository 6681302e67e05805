"""Fields of a configuration that a search draws values for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DIGITS = 4


@dataclass(frozen=True)
class SearchField:
    """A field and where its values are drawn from.

    Attributes:
        name: name of the field, as `field=value` has it.
        choices: values to choose from; none for a range.
        low: least value of a range.
        high: largest value; values are drawn evenly in their logarithm.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def parse(cls, text: str) -> SearchField:
        """Return the field of `name=LOW:HIGH`, or of `name=VALUE,VALUE,...`.

        Raises:
            ValueError: it is neither, or the range is empty or not above 0.
        """
        name, separator, values = text.partition("=")
        if not (name and separator and values):
            raise ValueError(f"--search {text}: expected field=LOW:HIGH or field=VALUE,VALUE,...")
        if ":" not in values:
            return cls(name, tuple(value.strip() for value in values.split(",") if value.strip()))
        try:
            low, high = map(float, values.split(":"))
        except ValueError as error:
            raise ValueError(f"--search {text}: expected two numbers, such as 1e-4:1e-2") from error
        if not 0 < low < high < math.inf:
            raise ValueError(f"--search {text}: expected numbers above 0, the smaller one first")
        return cls(name, (), low, high)

    def draw(self, rng: np.random.Generator) -> str:
        """Return a value."""
        if self.choices:
            return self.choices[rng.integers(len(self.choices))]
        return f"{math.exp(rng.uniform(math.log(self.low), math.log(self.high))):.{_DIGITS}g}"


def draw_assignments(fields: Sequence[SearchField], trials: int, seed: int) -> list[list[str]]:
    """Return the `field=value` texts of each trial: the same ones for the same seed.

    A trial's values depend on its number alone, so that more trials go on where fewer ended.
    """
    drawn = []
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        drawn.append([f"{field.name}={field.draw(rng)}" for field in fields])
    return drawn
