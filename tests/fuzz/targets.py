"""What reads bytes that others wrote: each parser, valid inputs to start from, the errors it may raise."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charmnet.errors import CharmNetError
from tests.fuzz.mutation import Mutate, mutate_bytes


def as_it_is(rng: random.Random, data: bytes) -> bytes:
    """No repair."""
    return data


@dataclass(frozen=True)
class Target:
    """
    Attributes:
        read: what is under test. corpus: valid inputs. tokens: what the format is made of.
        mutate: how inputs are made from valid ones. repair: makes checksums right again, now and then, so
            that changes reach what lies behind them.
        expected: what it may raise; anything else is a finding.
    """

    name: str
    read: Callable[[bytes], object]
    corpus: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()
    mutate: Mutate = mutate_bytes
    repair: Callable[[random.Random, bytes], bytes] = as_it_is
    expected: tuple[type[Exception], ...] = (CharmNetError,)

    def input(self, seed: int, index: int) -> bytes:
        """The input of a number; the corpus itself comes first."""
        if index < len(self.corpus):
            return self.corpus[index]
        rng = random.Random(f"{seed} {self.name} {index}")
        return self.repair(rng, self.mutate(rng, rng.choice(self.corpus), self.tokens))


def targets(folder: Path, names: Sequence[str] | None = None) -> dict[str, Target]:
    """All targets by name, or some.

    Args:
        folder: for their files, alone theirs.

    Raises:
        ValueError: there is none of a name; lists those that are.
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
