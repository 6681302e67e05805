"""Figures of a study's rows: means over seeds, intervals over photographs, spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charmnet.arrays import Float64Array
from pipelines.evaluation.bootstrap import Interval, interval_of_mean
from pipelines.study.scores import ImageTable
from pipelines.study.selections import TEST_SETS


@dataclass(frozen=True)
class Figure:
    """A figure of a row on a test set.

    Attributes:
        interval: mean over images and seeds, with its 95 % interval over photographs.
        seeds: mean over images for each seed.
    """

    interval: Interval
    seeds: tuple[float, ...]

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None of a single one."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return the figure in values that JSON can hold."""
        return {**self.interval.to_json(), "spread": self.spread, "seeds": list(self.seeds)}


@dataclass(frozen=True)
class RowResult:
    """A row of a table.

    Attributes:
        name: name of the row.
        label: text that stands in the tables.
        table: number of the table.
        apart: whether it is set apart.
        figures: {test set: {figure: ...}}: mse, fmse, psnr, better, mse_pasted, fmse_pasted, psnr_pasted,
            fmse_ratio (the composites'), fmse_difference (to the reference row); empty without a seed.
        failures: why seeds have no figures, by seed.
        samples: samples of all its runs with one seed.
        published: figures of a publication by test set.
    """

    name: str
    label: str
    table: int
    apart: bool = False
    figures: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    samples: int = 0
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the row in values that JSON can hold."""
        figures = {
            part: {name: figure.to_json() for name, figure in of_part.items()}
            for part, of_part in self.figures.items()
        }
        return {
            "name": self.name,
            "label": self.label,
            "table": self.table,
            "apart": self.apart,
            "samples": self.samples,
            "figures": figures,
            "failures": dict(self.failures),
            "published": {part: dict(values) for part, values in self.published.items()},
        }


Scores = Sequence[tuple[ImageTable, ImageTable]]
"""Own and pasted figures of a row's runs, one pair for each seed."""


def row_figures(scores: Scores, reference: Scores | None = None) -> dict[str, dict[str, Figure]]:
    """Return a row's figures by test set.

    Args:
        scores: of the row; at least one seed.
        reference: of the row that it is compared with.

    Raises:
        ValueError: runs were evaluated on different images.
    """
    first = scores[0][0]
    tables = [table for pair in [*scores, *(reference or [])] for table in pair]
    if any(table.ids != first.ids for table in tables):
        raise ValueError("runs of the study were evaluated on different images; evaluate them again")
    parts = np.array(first.parts)
    return {
        part: _part_figures(scores, reference, parts == part) for part in TEST_SETS if (parts == part).any()
    }


def composite_figures(table: ImageTable) -> dict[str, dict[str, Figure]]:
    """Return the figures of the composites themselves by test set."""
    unchanged = {name: table.figures[f"composite_{name}"] for name in ("mse", "fmse", "psnr")}
    same = ImageTable(table.ids, table.photographs, table.parts, table.figures | unchanged)
    figures = row_figures([(same, same)])
    return {
        part: {name: of_part[name] for name in ("mse", "fmse", "psnr")} for part, of_part in figures.items()
    }


def _part_figures(
    scores: Scores, reference: Scores | None, picked: np.ndarray[Any, Any]
) -> dict[str, Figure]:
    photographs = [name for name, of_part in zip(scores[0][0].photographs, picked, strict=True) if of_part]
    own = {name: _stack([pair[0] for pair in scores], name, picked) for name in ("mse", "fmse", "psnr")}
    pasted = {
        f"{name}_pasted": _stack([pair[1] for pair in scores], name, picked)
        for name in ("mse", "fmse", "psnr")
    }
    composite = scores[0][0].figures["composite_fmse"][picked]
    better = np.where(np.isnan(own["fmse"]), np.nan, (own["fmse"] < composite).astype(np.float64))
    values = {**own, **pasted, "better": better}
    figures = {name: _figure(photographs, value) for name, value in values.items()}
    figures["fmse_ratio"] = _figure(photographs, own["fmse"], composite)
    if reference is not None:
        other = _stack([pair[0] for pair in reference], "fmse", picked).mean(axis=0)
        figures["fmse_difference"] = _figure(photographs, own["fmse"] - other)
    return {name: figure for name, figure in figures.items() if figure is not None}


def _stack(tables: Sequence[ImageTable], name: str, picked: np.ndarray[Any, Any]) -> Float64Array:
    """Return [seeds,N] values of the picked images."""
    return np.stack([table.figures[name][picked] for table in tables])


def _figure(
    photographs: Sequence[str], values: Float64Array, weights: Float64Array | None = None
) -> Figure | None:
    """Return the figure of [seeds,N] values; None where no image has one."""
    interval = interval_of_mean(photographs, values.mean(axis=0), weights)
    if interval is None:
        return None
    of_seeds = [interval_of_mean(photographs, value, weights) for value in values]
    return Figure(interval, tuple(one.value for one in of_seeds if one is not None))
