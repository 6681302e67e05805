"""The record of a sample that could not become a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rejection:
    """A sample that was left out of a data set, and the reason: one line of rejected.jsonl.

    Attributes:
        id: the id that its row would have.
        file: path of the file at fault, beneath the source.
        reason: why the sample was left out.
        items: number of requested items (listed pictures or pairs) that are lost with it.
    """

    id: str
    file: str
    reason: str
    items: int = 1
