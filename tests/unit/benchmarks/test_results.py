"""The table of docs/benchmarks.md is made from docs/results, and the commands that the docs name exist."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from pipelines.benchmarks.plot import plot
from pipelines.benchmarks.results import (
    END_MARKER,
    START_MARKER,
    load_result,
    load_results,
    markdown_table,
    with_table,
)
from pipelines.commands.bench import SUBJECTS
from pipelines.commands.cli import COMMANDS, main

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "docs" / "results"
FILES = sorted(RESULTS.glob("*.json"))
PLOTS = ("evaluate", "growth", "peers", "update-cpu", "workers")
for subject in SUBJECTS:  # here, since a library that they import binds a socket, which a test may not
    importlib.import_module(f"pipelines.benchmarks.{subject}")

MODULE = re.compile(r"python -m (pipelines(?:\.\w+)+)")


def test_the_page_holds_the_table_that_the_command_makes(capsys: pytest.CaptureFixture[str]) -> None:
    """A figure that is changed by hand fails here: `charmnet bench table --write docs/benchmarks.md`."""
    assert main(["bench", "table", "--results", str(RESULTS)]) == 0
    table = capsys.readouterr().out.strip()
    assert PAGE.read_text() == with_table(PAGE.read_text(), table)
    assert len(PAGE.read_text().splitlines()) <= 120


def test_writing_the_table_changes_only_what_is_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START_MARKER}\nan old table\n{END_MARKER}\nafter\n")
    assert main(["bench", "table", "--results", str(RESULTS), "--write", str(page)]) == 0
    first, *table, last = page.read_text().splitlines()
    assert (first, last) == ("before", "after")
    assert table[2:-2] == markdown_table(load_results(RESULTS)).splitlines()


def test_every_row_has_all_fields() -> None:
    columns, _, *rows = markdown_table(load_results(RESULTS)).splitlines()
    assert len(rows) >= 20
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == columns.count("|") - 1, row
        assert all(cells), row


def test_no_question_has_two_answers() -> None:
    questions = [
        (comparison.question, comparison.beside)
        for result in load_results(RESULTS)
        for comparison in result.comparisons
    ]
    assert len(questions) == len(set(questions))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_command_of_a_result_exists(path: Path) -> None:
    words = shlex.split(load_result(path).command)
    while "=" in words[0]:
        del words[0]
    program, *arguments = words
    if program == "charmnet":
        assert arguments[0] in COMMANDS
        assert arguments[0] != "bench" or arguments[1] in SUBJECTS
    elif program == "python":
        assert arguments[0] == "-m"
        assert importlib.util.find_spec(arguments[1])
    else:
        assert (ROOT / program).exists()


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_modules_that_a_page_runs_exist(page: Path) -> None:
    missing = [name for name in MODULE.findall(page.read_text()) if not importlib.util.find_spec(name)]
    assert not missing


@pytest.mark.parametrize("name", PLOTS)
def test_results_of_the_page_are_drawn(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image.svg"
    plot(str(RESULTS / f"{name}.json"), str(image))
    assert image.read_bytes().startswith(b"<?xml")


def test_a_result_without_a_plot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"checkpoints\.json: a result of checkpoints; expected one of"):
        plot(str(RESULTS / "checkpoints.json"), str(tmp_path / "image.svg"))


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"subject": "update"}')
    with pytest.raises(ValueError, match=r"old\.json: not a benchmark's result"):
        load_results(tmp_path)
    with pytest.raises(ValueError, match="no results there"):
        load_results(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="lacks the lines"):
        with_table("a page", "a table")
