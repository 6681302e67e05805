"""Stratum: what a selection picks rows by; needs no package that reads shards."""

from __future__ import annotations

from dataclasses import dataclass

from charmnet.vocabulary import Domain


@dataclass(frozen=True)
class Stratum:
    """One combination of the fields that a selection can pick rows by.

    Attributes:
        domain: real or rendered.
        subset: such as HCOCO.
        category: category of the foreground, or None.
        splits: names of the lists that contain the rows.
    """

    domain: Domain
    subset: str
    category: str | None
    splits: tuple[str, ...]
