"""The table of faults and what came of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

from pipelines.chaos.lab import Options
from pipelines.chaos.verdict import Outcome
from pipelines.runtime.storage import Location

COLUMNS = (
    "fault", "times", "run ended", "rows lost", "rows twice", "weights", "metrics", "quarantined",
    "seconds lost",
)  # fmt: skip


def cells(outcome: Outcome) -> tuple[str, ...]:
    """A line of the table, by `COLUMNS`."""
    lost = outcome.seconds_lost
    return (
        outcome.fault,
        str(outcome.times),
        outcome.ended,
        _number(outcome.rows_lost),
        _number(outcome.rows_twice),
        outcome.weights,
        outcome.metrics,
        str(outcome.quarantined),
        "" if lost is None else f"{max(0.0, lost):.0f}",
    )


def print_table(outcomes: Sequence[Outcome], title: str) -> None:
    """On standard output, and beneath it what was wanted and did not come about."""
    table = Table(*COLUMNS, title=title)
    for outcome in outcomes:
        table.add_row(*cells(outcome))
    Console(width=None if os.isatty(1) else 200).print(table)
    for outcome in outcomes:
        for problem in outcome.problems:
            print(f"{outcome.scenario}: {problem}")


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The same for a page."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *map(cells, outcomes)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_json(place: Location, outcomes: Sequence[Outcome], options: Options) -> None:
    """What was asked for, and every outcome."""
    made = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "ray": version("ray"), "cpus": os.cpu_count()}
    place.write_json({**made, "options": asdict(options), "outcomes": [asdict(one) for one in outcomes]})


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
