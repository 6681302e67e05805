"""Tables of `charmnet evaluate`: figures, and what they are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import rich.box
from rich.markup import escape
from rich.table import Table

from pipelines.evaluation.evaluation import Evaluation
from pipelines.evaluation.per_image import FIGURES, IMAGES
from pipelines.evaluation.report import DIMENSIONS
from pipelines.evaluation.tricks import STRENGTH, TRICKS

_TRICK_NAMES = dict(zip(TRICKS, ("mean shift", "Reinhard", "Monge-Kantorovitch"), strict=True))


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Yield the tables to print."""
    yield figures_table(evaluation.figures)
    yield ratio_table(evaluation.figures)
    if evaluation.against_other:
        yield comparison_table(evaluation.figures, evaluation.about["compare"])


def figures_table(figures: Mapping[str, Any]) -> Table:
    """Return a table of `EvaluationReport.to_json`: each figure of the composites beside the harmonized."""
    headings = ("images", "MSE", "→", "fMSE", "→", "PSNR", "→")
    table = _table(*headings)
    for name, group in _groups(figures):
        table.add_row(name, *([] if group is None else _figure_cells(group)))
    return table


def ratio_table(figures: Mapping[str, Any]) -> Table:
    """Return a table of errors as shares of the composites': of the tricks over all images, and of the model.

    Args:
        figures: `Evaluation.figures`, with "against_composite" in each group.
    """
    table = _table("SSIM", "fMSE", "95 %", "MSE", "95 %", "better")
    everything = figures["all"]
    against = everything["against_composite"]
    tricks = [trick for trick in TRICKS if trick in against]
    strength = f"; corrections without learning, strength {STRENGTH:.0%}" if tricks else ""
    table.title = f"shares of composites' errors{strength}"
    table.add_row("composite", _number(everything["composite"].get("ssim"), 3))
    for trick in tricks:
        table.add_row(_TRICK_NAMES[trick], "", *_ratio_cells(against[trick]))
    for name, group in _groups(figures):
        if group is None:
            table.add_row(name)
        else:
            similarity = _number(group["harmonized"].get("ssim"), 3)
            ratios = _ratio_cells(group["against_composite"]["harmonized"])
            table.add_row("[bold]the model" if group is everything else name, similarity, *ratios)
    return table


def comparison_table(figures: Mapping[str, Any], other: str) -> Table:
    """Return a table of the model beside another: their errors' ratio, and the share in which it is better.

    Args:
        figures: `Evaluation.figures`, with "against_other" in each group.
        other: name of the other model.
    """
    table = _table("fMSE", "difference", "95 %", "ratio", "95 %", "better")
    table.title = f"beside {escape(other)}"
    for name, group in _groups(figures):
        if group is None:
            table.add_row(name)
            continue
        against = group["against_other"]
        table.add_row(
            name,
            _number(group["harmonized"]["fmse"], 1),
            *_interval_cells(against["fmse_difference"], 1),
            *_interval_cells(against["fmse_ratio"], 3),
            _percent(against["better"]),
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(
        box=rich.box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True, title_justify="left"
    )
    table.add_column("", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _groups(figures: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Yield the name and the figures of each row; of a heading None."""
    yield "all", figures["all"]
    for dimension in DIMENSIONS:
        unit = ", %" if dimension == "foreground_ratio" else ""
        yield f"[bold]{dimension.replace('_', ' ')}{unit}", None
        for name, group in figures[dimension].items():
            yield f"  {escape(name)}", group


def _figure_cells(group: Mapping[str, Any]) -> list[str]:
    values = [
        _number(group[whose][figure], 2 if figure == "psnr" else 1) for figure in FIGURES for whose in IMAGES
    ]
    return [str(group["count"]), *values]


def _ratio_cells(against: Mapping[str, Any]) -> list[str]:
    return [
        *_interval_cells(against["fmse_ratio"], 3),
        *_interval_cells(against["mse_ratio"], 3),
        _percent(against["better"]),
    ]


def _interval_cells(interval: Mapping[str, float | None] | None, digits: int) -> list[str]:
    """Return the value, and the ends of its interval in one cell."""
    if interval is None:
        return ["-", ""]
    value, low, high = (_number(interval[name], digits) for name in ("value", "low", "high"))
    dash = " to " if low.startswith("-") or high.startswith("-") else "-"
    return [value, "" if interval["low"] is None else f"{low}{dash}{high}"]


def _percent(interval: Mapping[str, float | None] | None) -> str:
    return "-" if interval is None else f"{interval['value']:.0%}"


def _number(value: float | None, digits: int) -> str:
    """Return a number with its digits after the point; a ratio, which has three, with one from 10 on."""
    if value is None:
        return "-"
    return f"{value:.{digits if abs(value) < 10 or digits <= 2 else 1}f}"
