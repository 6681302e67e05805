"""Outcomes of scenarios, and their table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

from pipelines.chaos.environment import Options
from pipelines.runtime.storage import Location

COLUMNS = (
    "fault", "times", "run ended", "rows lost", "rows twice", "weights", "metrics", "quarantined",
    "seconds lost",
)  # fmt: skip
"""Heads of the table's columns."""


@dataclass
class Outcome:
    """Row of the table.

    Attributes:
        scenario: name of the scenario.
        fault: the fault in words.
        times: how often it was injected.
        ended: FINISHED, STOPPED, FAILED, or BROKE DOWN where the scenario itself failed.
        rows_lost: samples that were never delivered, by the audit; None where it could not be made.
        rows_twice: samples that were delivered twice in an epoch, as above.
        weights: "identical", or by how much the largest difference is off.
        metrics: "complete", or how many points are missing, stand twice or were dropped.
        quarantined: number of different quarantined samples.
        seconds: how long the run took.
        seconds_lost: how much longer than the undisturbed run; None where it did not finish.
        problems: what differs from what is expected.
    """

    scenario: str
    fault: str
    times: int
    ended: str
    rows_lost: int | None
    rows_twice: int | None
    weights: str
    metrics: str
    quarantined: int
    seconds: float
    seconds_lost: float | None
    problems: list[str] = field(default_factory=list)

    @classmethod
    def broke_down(cls, scenario: str, fault: str, *, seconds: float, error: Exception) -> Outcome:
        """Describe a scenario that could not be run to its end."""
        return cls(
            scenario=scenario,
            fault=fault,
            times=0,
            ended="BROKE DOWN",
            rows_lost=None,
            rows_twice=None,
            weights="",
            metrics="",
            quarantined=0,
            seconds=seconds,
            seconds_lost=None,
            problems=[str(error)],
        )


def cells(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of a row, by `COLUMNS`."""
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
    """Print the table on standard output, and beneath it what differs from what is expected."""
    table = Table(*COLUMNS, title=title)
    for outcome in outcomes:
        table.add_row(*cells(outcome))
    Console(width=None if os.isatty(1) else 200).print(table)
    for outcome in outcomes:
        for problem in outcome.problems:
            print(f"{outcome.scenario}: {problem}")


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table in Markdown."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *map(cells, outcomes)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_json(path: Location, outcomes: Sequence[Outcome], options: Options) -> None:
    """Write the options of the command and all outcomes."""
    made = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "ray": version("ray"), "cpus": os.cpu_count()}
    path.write_json({**made, "options": asdict(options), "outcomes": [asdict(one) for one in outcomes]})


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
