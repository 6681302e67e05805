"""Plots of a study as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.study.results import RowResult
from pipelines.study.selections import BASE, NOVEL
from pipelines.study.tables import COMPOSITE

_INCHES = (7.0, 4.2)

Curve = Sequence[tuple[float, float]]
"""(samples seen, fMSE on the splits of validation) of a run, ascending."""


def base_against_novel(results: Sequence[RowResult]) -> str | None:
    """Return a plot of each row's fMSE on both test sets with its intervals; None without a row."""
    shown = [row for row in results if {BASE, NOVEL} <= set(row.figures)]
    if not shown:
        return None

    def draw(axes: Axes) -> None:
        for row in shown:
            base, novel = (row.figures[part]["fmse"].interval for part in (BASE, NOVEL))
            marker = "s" if row.name == COMPOSITE else "o"
            axes.errorbar(
                base.value,
                novel.value,
                xerr=_reach(base.value, base.low, base.high),
                yerr=_reach(novel.value, novel.low, novel.high),
                fmt=marker,
                capsize=2,
                label=row.label,
            )
        axes.set(xlabel="fMSE, base categories", ylabel="fMSE, novel category")
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))

    return _svg(draw)


def fmse_against_samples(curves: Mapping[str, Curve]) -> str | None:
    """Return a plot of each row's errors in validation while it was trained; None without a curve."""
    shown = {label: curve for label, curve in curves.items() if curve}
    if not shown:
        return None

    def draw(axes: Axes) -> None:
        for label, curve in shown.items():
            samples, errors = zip(*curve, strict=True)
            axes.plot(samples, errors, marker=".", label=label)
        axes.set(xlabel="samples seen", ylabel="fMSE in validation")
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))

    return _svg(draw)


def _reach(value: float, low: float | None, high: float | None) -> list[list[float]] | None:
    """Return how far an interval reaches below and above its figure, as an error bar takes it."""
    if low is None or high is None:
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _svg(draw: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=_INCHES, layout="constrained")
    with mpl.rc_context({"svg.hashsalt": "charmnet"}):  # the same bytes from the same figures
        draw(figure.subplots())
        data = BytesIO()
        figure.savefig(data, format="svg", metadata={"Date": None})
    return data.getvalue().decode()
