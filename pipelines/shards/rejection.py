"""A sample of a released layout that cannot become a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rejection:
    """What was not taken, and why: a line of rejected.jsonl.

    Attributes:
        items: how many of the things that were asked for are lost with it.
    """

    id: str
    file: str
    reason: str
    items: int = 1
