from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.bootstrap import LEAST_PHOTOGRAPHS, interval_of_mean
from pipelines.runtime.storage import Location
from pipelines.study.report import StudyReport
from pipelines.study.results import RowResult, composite_figures, row_figures
from pipelines.study.scores import ImageTable
from pipelines.study.tables import NOTE, result_table, to_csv, to_html, to_latex, to_markdown

TIMES = 5
PARTS = (["novel"] * 4 + ["base"] * 4) * TIMES


def table(errors: Sequence[float], composite: Sequence[float] = (100.0,) * 8) -> ImageTable:
    """Figures of eight images of four photographs, two of each test set, and so five times."""
    fmse = np.tile(np.array(errors, np.float64), TIMES)
    base = np.tile(np.array(composite, np.float64), TIMES)
    figures = {
        "mse": fmse / 10,
        "fmse": fmse,
        "psnr": 50 - fmse / 10,
        "composite_mse": base / 10,
        "composite_fmse": base,
        "composite_psnr": 50 - base / 10,
    }
    photographs = [f"p{number // 2}" for number in range(8 * TIMES)]
    return ImageTable([f"i{number}" for number in range(8 * TIMES)], photographs, PARTS, figures)


def test_figures_are_means_over_images_and_seeds() -> None:
    first, second = table([10, 20, 30, 40, 1, 1, 1, 1]), table([30, 40, 50, 60, 3, 3, 3, 3])
    figures = row_figures([(first, first), (second, second)])
    novel = figures["novel"]["fmse"]
    assert novel.interval.value == pytest.approx(35)
    assert novel.seeds == pytest.approx((25, 45))
    assert novel.spread == pytest.approx(np.std([25, 45], ddof=1))
    assert novel.interval.low is not None
    assert 25 <= novel.interval.low < 35 < novel.interval.high <= 45
    assert figures["base"]["fmse"].interval.value == pytest.approx(2)
    assert figures["base"]["fmse_ratio"].interval.value == pytest.approx(0.02)


def test_the_interval_is_over_photographs_and_not_over_images() -> None:
    same = table([10, 30, 10, 30, 1, 1, 1, 1])  # both photographs of the test set have the same mean
    interval = row_figures([(same, same)])["novel"]["fmse"].interval
    assert interval.low == interval.high == interval.value == 20


def test_pictures_that_got_better_are_counted_against_the_composite() -> None:
    own = table([99, 101, 100, 1, 1, 1, 1, 200])
    figures = row_figures([(own, own)])
    assert figures["novel"]["better"].interval.value == 0.5
    assert figures["base"]["better"].interval.value == 0.75


def test_pasted_figures_stand_beside_a_methods_own() -> None:
    own, pasted = table([50] * 8), table([40] * 8)
    figures = row_figures([(own, pasted)])["novel"]
    assert (figures["mse"].interval.value, figures["mse_pasted"].interval.value) == (5, 4)


def test_an_undefined_figure_is_left_out() -> None:
    own = table([10, float("nan"), 30, 50, 1, 1, 1, 1])
    figures = row_figures([(own, own)])["novel"]
    assert figures["fmse"].interval.value == 30
    assert figures["better"].interval.value == 1
    none = table([float("nan")] * 8)
    assert "fmse" not in row_figures([(none, none)])["novel"]


def test_the_difference_to_the_reference_is_of_the_same_images() -> None:
    own, other = table([10, 20, 30, 40, 1, 1, 1, 1]), table([20, 30, 40, 50, 1, 1, 1, 1])
    difference = row_figures([(own, own)], [(other, other)])["novel"]["fmse_difference"].interval
    assert difference.low == difference.value == difference.high == -10


def test_runs_on_other_images_are_not_compared() -> None:
    own = table([1] * 8)
    other = ImageTable(own.ids[::-1], own.photographs, own.parts, own.figures)
    with pytest.raises(ValueError, match="different images"):
        row_figures([(own, own), (other, other)])


def test_composites_have_figures_of_their_own() -> None:
    figures = composite_figures(table([1] * 8, [100, 200, 100, 200, 10, 10, 10, 10]))
    assert figures["novel"]["fmse"].interval.value == 150
    assert set(figures["novel"]) == {"mse", "fmse", "psnr"}


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(1, 12))
def test_a_mean_lies_within_its_interval_or_at_its_end(values: list[float], groups: int) -> None:
    photographs = [f"p{number % groups}" for number in range(len(values))]
    interval = interval_of_mean(photographs, np.array(values))
    assert interval is not None
    assert interval.value == pytest.approx(np.mean(values))
    if len(set(photographs)) < LEAST_PHOTOGRAPHS:
        assert interval.low is None
    else:
        assert interval.low is not None
        assert min(values) - 1e-6 <= interval.low <= interval.high <= max(values) + 1e-6


def test_a_mean_of_nothing_is_none() -> None:
    assert interval_of_mean([], np.array([])) is None
    assert interval_of_mean(["p"], np.array([1.0]), np.array([0.0])) is None


@pytest.fixture
def results() -> list[RowResult]:
    own = table([10, 20, 30, 40, 1, 2, 3, 4])
    return [
        RowResult("composite", "composite", 0, figures=composite_figures(own)),
        RowResult("bound", "Bound & 100 %", 2, True, row_figures([(own, own)])),
        RowResult("a", "A_b|c", 2, figures=row_figures([(own, own)] * 2), published={"novel": {"fmse": 7.5}}),
        RowResult("b", "<b>", 2, failures={"0": "too <little> memory"}),
        RowResult("other", "other table", 1, figures=row_figures([(own, own)])),
    ]


def test_a_table_has_its_rows_and_those_set_apart_at_the_end(results: list[RowResult]) -> None:
    labels = [row.label for row in result_table(2, "caption", results).rows]
    assert labels == ["composite", "A_b|c", "<b>", "Bound & 100 %"]


def test_every_form_has_every_figure_and_the_reason_of_a_failure(results: list[RowResult]) -> None:
    made = result_table(2, "caption", results)
    markdown, latex, html = to_markdown(made), to_latex(made), to_html(made)
    for text in (markdown, latex, html):
        assert "25.0 [" in text
        assert "little" in text
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    bars = {line.replace("\\|", "").count("|") for line in lines}
    assert bars == {len(made.headings) + 2}
    assert r"A\_b|c" in latex
    assert r"Bound \& 100 \%" in latex
    assert latex.index("too <little>") < latex.rindex(r"\midrule") < latex.index("Bound")
    assert "<b>" not in html
    assert "±0.0" in markdown


def test_every_character_may_stand_in_latex(results: list[RowResult]) -> None:
    assert r"\caption{a\_b \^{} \~{} \$1 \{2\}}" in to_latex(result_table(2, "a_b ^ ~ $1 {2}", results))


def test_the_csv_has_a_line_for_each_figure(results: list[RowResult]) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(results))))
    (fmse,) = (row for row in rows if (row["row"], row["test_set"], row["figure"]) == ("a", "novel", "fmse"))
    assert float(fmse["value"]) == 25
    assert fmse["seeds"] == "25.0 25.0"
    assert float(fmse["published"]) == 7.5
    assert [row["value"] for row in rows if row["row"] == "b"] == ["too <little> memory"]


def test_the_report_is_written_whole(results: list[RowResult], tmp_path: object) -> None:
    report = StudyReport(
        "Title <1>",
        {"seeds": 2},
        {"1": "one", "2": "two", "3": "none"},
        results,
        {"A": [(8.0, 100.0), (16.0, 50.0)]},
        None,
    )
    report.write(Location.of(str(tmp_path)))
    files = {path.name: path.read_bytes() for path in (Location.of(str(tmp_path)) / "report").children()}
    assert set(files) == {
        *("tables.md", "tables.tex", "tables.csv", "tables.json", "index.html"),
        *("base-against-novel.svg", "fmse-against-samples.svg"),
    }
    page = files["index.html"].decode()
    assert "Title &lt;1&gt;" in page
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")
    assert "7.5" in page
    assert NOTE in files["tables.md"].decode()
    rows = {row["name"]: row for row in json.loads(files["tables.json"])["rows"]}
    assert rows["a"]["figures"]["novel"]["fmse"]["seeds"] == [25, 25]
    assert report.files() == report.files()  # the same bytes again
