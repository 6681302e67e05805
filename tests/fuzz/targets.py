"""Parsers of bytes that others wrote, with valid inputs to start from and the errors that they may raise."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charmnet.errors import CharmNetError
from tests.fuzz.mutation import Mutate, mutate_bytes


def as_it_is(rng: random.Random, data: bytes) -> bytes:
    """Return an input as it is."""
    return data


@dataclass(frozen=True)
class Target:
    """A parser under test.

    Attributes:
        name: its name.
        read: the parser.
        corpus: valid inputs.
        tokens: pieces that the format is made of.
        mutate: makes an input from a valid one.
        repair: corrects checksums of most inputs, so that changes reach the parser behind them.
        expected: errors that it may raise; any other is a finding.
    """

    name: str
    read: Callable[[bytes], object]
    corpus: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()
    mutate: Mutate = mutate_bytes
    repair: Callable[[random.Random, bytes], bytes] = as_it_is
    expected: tuple[type[Exception], ...] = (CharmNetError,)

    def input(self, seed: int, index: int) -> bytes:
        """Return the input of a number; the corpus itself comes first."""
        if index < len(self.corpus):
            return self.corpus[index]
        rng = random.Random(f"{seed} {self.name} {index}")
        return self.repair(rng, self.mutate(rng, rng.choice(self.corpus), self.tokens))


def targets(folder: Path, names: Sequence[str] | None = None) -> dict[str, Target]:
    """Return all targets by name, or some.

    Args:
        folder: folder for their files, used by nothing else.
        names: names of the targets to return.

    Raises:
        ValueError: there is no target of a name; lists those that there are.
    """
    from tests.fuzz import data_targets, model_targets, picture_targets, text_targets

    made = {
        target.name: target
        for module in (picture_targets, data_targets, text_targets, model_targets)
        for target in module.targets(folder)
    }
    unknown = sorted(set(names or ()) - set(made))
    if unknown:
        raise ValueError(f"no target {', '.join(unknown)}; there are {', '.join(made)}")
    return {name: made[name] for name in names or made}
