"""A study's results as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

from pipelines.study.results import RowResult
from pipelines.study.tables import NOTE, ResultTable, to_html

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1500px; color: #222 }
table { border-collapse: collapse; margin: 1.5em 0; font-size: 12px }
caption { text-align: left; font-weight: 600; padding-bottom: .4em }
th, td { padding: .25em .7em; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd }
tbody th, .reason { text-align: left; font-weight: 400; white-space: normal }
tr.apart { color: #666; font-style: italic }
img { max-width: 100% } svg { max-width: 100%; height: auto } .scroll { overflow-x: auto }
"""


def page(
    title: str,
    about: Mapping[str, object],
    tables: Sequence[ResultTable],
    results: Sequence[RowResult],
    plots: Mapping[str, str],
    sheet: tuple[bytes, str] | None,
) -> str:
    """Return the page.

    Args:
        title: heading.
        about: what was compared and how, by name.
        tables: tables of one's own figures.
        results: rows, whose published figures stand beside their own.
        plots: SVG by caption.
        sheet: JPEG of the qualitative figure and its caption, if there is one.
    """
    facts = "".join(
        f"<li>{html.escape(name)}: {html.escape(str(value))}</li>" for name, value in about.items()
    )
    drawn = "".join(f"<h2>{html.escape(caption)}</h2>{_inline(svg)}" for caption, svg in plots.items())
    scrolling = "".join(f'<div class="scroll">{to_html(table)}</div>' for table in tables)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1><ul>{facts}</ul>"
        f"<p>{html.escape(NOTE)}</p>{scrolling}{_published(results)}{drawn}{_picture(sheet)}</body></html>\n"
    )


def _inline(svg: str) -> str:
    """Return the SVG element of a file, without its XML declaration."""
    return svg[svg.index("<svg") :]


def _picture(sheet: tuple[bytes, str] | None) -> str:
    if sheet is None:
        return ""
    data, caption = sheet
    text = html.escape(caption)
    source = base64.b64encode(data).decode()
    return f'<h2>Pictures</h2><p>{text}</p><img alt="{text}" src="data:image/jpeg;base64,{source}">'


def _published(results: Sequence[RowResult]) -> str:
    """Return a table of published figures beside one's own; a sentence where the study has none."""
    rows = [
        f"<tr><th>{html.escape(row.label)}</th><td>{html.escape(part)}</td><td>{html.escape(name)}</td>"
        f"<td>{value:g}</td><td>{_own(row, part, name)}</td></tr>"
        for row in results
        for part, values in row.published.items()
        for name, value in values.items()
    ]
    if not rows:
        return "<p>The study names no published figures (`published` of a row).</p>"
    return (
        "<table><caption>Published figures beside these</caption><thead><tr><th></th><th>test set</th>"
        f"<th>figure</th><th>published</th><th>here</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _own(row: RowResult, part: str, name: str) -> str:
    figure = row.figures.get(part, {}).get(name)
    return "-" if figure is None else f"{figure.interval.value:.2f}"
