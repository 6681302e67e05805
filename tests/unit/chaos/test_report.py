"""The table of outcomes."""

from __future__ import annotations

import pytest

from charmnet.errors import DataError
from pipelines.chaos.report import COLUMNS, Outcome, cells, markdown, print_table


def outcome(**fields: object) -> Outcome:
    whole = {
        "scenario": "store-down",
        "fault": "store down",
        "times": 1,
        "ended": "FINISHED",
        "rows_lost": 0,
        "rows_twice": 0,
        "weights": "identical",
        "metrics": "complete",
        "quarantined": 0,
        "seconds": 50.4,
        "seconds_lost": 31.6,
    }
    return Outcome(**{**whole, **fields})


def test_a_line_of_the_table_says_what_came_of_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert dict(zip(COLUMNS, cells(outcome()), strict=True)) == {
        "fault": "store down",
        "times": "1",
        "run ended": "FINISHED",
        "rows lost": "0",
        "rows twice": "0",
        "weights": "identical",
        "metrics": "complete",
        "quarantined": "0",
        "seconds lost": "32",
    }
    failed = outcome(ended="FAILED", rows_lost=None, seconds_lost=None, problems=["ended FAILED: no store"])
    assert cells(failed)[2:4] == ("FAILED", "")
    print_table([outcome(), failed], "two")
    assert "store-down: ended FAILED: no store" in capsys.readouterr().out
    assert markdown([failed]).splitlines()[1:] == [
        "|" + " --- |" * len(COLUMNS),
        "| store down | 1 | FAILED |  | 0 | identical | complete | 0 |  |",
    ]


def test_a_scenario_that_breaks_down_is_a_row_with_its_error() -> None:
    outcome = Outcome.broke_down("one", "a fault", seconds=3.0, error=DataError("no node"))
    assert (outcome.ended, outcome.times, outcome.problems) == ("BROKE DOWN", 0, ["no node"])
