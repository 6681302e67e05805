"""The record of a sample that could not become a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from charmnet.errors import DataError
from pipelines.runtime.storage import Location

_SHOWN = 3


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


def count_items(rejected: Sequence[Rejection]) -> int:
    """Return the number of requested items that are lost."""
    return sum(rejection.items for rejection in rejected)


def too_many_rejected(
    rejected: Sequence[Rejection], requested: int, max_rejected: float, remedy: str, record: Location | None
) -> DataError:
    """Return the error for a data set of which too much is rejected.

    Args:
        rejected: what is rejected.
        requested: number of requested items.
        max_rejected: share of them that may be rejected.
        remedy: what to do.
        record: file that names all; None where nothing was written.
    """
    lost = count_items(rejected)
    listed = "such as" if record is None else f"all are listed in {record}, such as"
    examples = "".join(f"\n  {rejection.file}: {rejection.reason}" for rejection in rejected[:_SHOWN])
    return DataError(
        f"{lost} of {requested} rejected ({lost / max(requested, 1):.2%}), --max-rejected allows "
        f"{max_rejected:.2%}; {listed}:{examples}\n{remedy}, or allow more with --max-rejected"
    )
