"""Tables of a study as Markdown, LaTeX, HTML and CSV."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.study.results import Figure, RowResult
from pipelines.study.selections import TEST_SETS

COMPOSITE = "composite"
"""Name of the row of the composites themselves, which stands first in every table."""

_COLUMNS = (
    ("mse", "MSE", 1),
    ("fmse", "fMSE", 1),
    ("psnr", "PSNR", 2),
    ("better", "better", 2),
    ("fmse_ratio", "of composite", 3),
    ("mse_pasted", "MSE pasted", 1),
    ("psnr_pasted", "PSNR pasted", 2),
)
"""Figure, heading and digits of each column of a test set."""

_LATEX = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{"^": r"\^{}", "~": r"\~{}", "±": r"$\pm$"},
}
NOTE = (
    "Mean over test images and seeds, [95 % interval over photographs], ± standard deviation over seeds. "
    "`better` is the share of images whose fMSE is below the composite's, `of composite` the fMSE as a share "
    "of the composites'; `pasted` takes the background from the composite."
)


@dataclass(frozen=True)
class TableRow:
    """A row as text: the label, and a cell for each column, or one text over all of them."""

    label: str
    cells: tuple[str, ...]
    reason: str = ""
    apart: bool = False


@dataclass(frozen=True)
class ResultTable:
    """A table as text.

    Attributes:
        number: number of the table.
        caption: caption.
        headings: headings of the columns after the label.
        rows: rows.
    """

    number: int
    caption: str
    headings: tuple[str, ...]
    rows: tuple[TableRow, ...]


def result_table(number: int, caption: str, results: Sequence[RowResult]) -> ResultTable:
    """Return the table of some rows, those that are set apart at the end."""
    ordered = sorted((row for row in results if row.table in (number, 0)), key=lambda row: row.apart)
    headings = tuple(f"{part} {heading}" for part in TEST_SETS for _, heading, _ in _COLUMNS)
    return ResultTable(number, caption, headings, tuple(map(_table_row, ordered)))


def _table_row(row: RowResult) -> TableRow:
    failed = "; ".join(f"seed {seed}: {reason}" for seed, reason in row.failures.items())
    if not row.figures:
        return TableRow(row.label, (), failed or "not run", row.apart)
    cells = tuple(
        _cell(row.figures.get(part, {}).get(name), digits)
        for part in TEST_SETS
        for name, _, digits in _COLUMNS
    )
    return TableRow(f"{row.label} (without {failed})" if failed else row.label, cells, "", row.apart)


def _cell(figure: Figure | None, digits: int) -> str:
    if figure is None:
        return "-"
    interval, spread = figure.interval, figure.spread
    text = f"{interval.value:.{digits}f}"
    if interval.low is not None and interval.high is not None:
        text += f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return text if spread is None else f"{text} ±{spread:.{digits}f}"


def to_markdown(table: ResultTable) -> str:
    """Return the table as Markdown."""
    columns = len(table.headings)
    lines = [
        f"**Table {table.number}.** {table.caption}",
        "",
        f"| | {' | '.join(table.headings)} |",
        "|---|" + "---|" * columns,
        *(f"| {' | '.join(map(_markdown, cells))} |" for cells in _padded(table)),
    ]
    return "\n".join([*lines, "", ""])


def _markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _padded(table: ResultTable) -> Iterator[list[str]]:
    """Yield label and cells of each row; a reason stands in the first cell."""
    for row in table.rows:
        cells = list(row.cells) or [row.reason]
        yield [row.label, *cells, *[""] * (len(table.headings) - len(cells))]


def to_latex(table: ResultTable) -> str:
    """Return the table as LaTeX, for the package booktabs."""
    columns = len(table.headings)
    lines = [
        r"\begin{table*}",
        rf"\caption{{{_latex(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * columns}}}",
        r"\toprule",
        rf" & {' & '.join(map(_latex, table.headings))} \\",
        r"\midrule",
    ]
    was_apart = False
    for row in table.rows:
        if row.apart and not was_apart:
            lines.append(r"\midrule")
        was_apart = row.apart
        cells = " & ".join(map(_latex, row.cells))
        cells = cells or rf"\multicolumn{{{columns}}}{{l}}{{{_latex(row.reason)}}}"
        lines.append(rf"{_latex(row.label)} & {cells} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}", "", ""])


def _latex(text: str) -> str:
    text = text.replace("\\", "/")
    return "".join(_LATEX.get(character, character) for character in text)


def to_html(table: ResultTable) -> str:
    """Return the table as HTML."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in table.headings)
    body = "".join(map(_html_row_of(len(table.headings)), table.rows))
    caption = f"<caption>Table {table.number}. {html.escape(table.caption)}</caption>"
    return f"<table>{caption}<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_row_of(columns: int) -> Callable[[TableRow], str]:
    def row_text(row: TableRow) -> str:
        if row.cells:
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row.cells)
        else:
            cells = f'<td class="reason" colspan="{columns}">{html.escape(row.reason)}</td>'
        mark = ' class="apart"' if row.apart else ""
        return f"<tr{mark}><th>{html.escape(row.label)}</th>{cells}</tr>"

    return row_text


def to_csv(results: Sequence[RowResult]) -> str:
    """Return all figures, a line for each row, test set and figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "table",
            "row",
            "label",
            "test_set",
            "figure",
            "value",
            "low",
            "high",
            "spread",
            "seeds",
            "published",
        ]
    )
    for row in results:
        for part, of_part in row.figures.items():
            for name, figure in of_part.items():
                interval = figure.interval
                writer.writerow(
                    [
                        *(row.table, row.name, row.label, part, name),
                        *(interval.value, interval.low, interval.high, figure.spread),
                        " ".join(map(str, figure.seeds)),
                        row.published.get(part, {}).get(name),
                    ]
                )
        for seed, reason in row.failures.items():
            writer.writerow(
                [row.table, row.name, row.label, "", f"failure of seed {seed}", reason, *[""] * 5]
            )
    return text.getvalue()
