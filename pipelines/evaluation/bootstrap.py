"""Intervals of an evaluation by bootstrap over photographs.

Photographs are drawn with replacement, each with all its composites. A ratio is of sums over the drawn
images, as the ratio of the means is over all images. Intervals are over photographs and say nothing of what
another seed of the training would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from charmnet.arrays import Float64Array
from charmnet.metrics import ImageErrors
from pipelines.evaluation.report import ImageResult, group_name, groups_of

DRAWS = 1_000
"""Number of draws of all photographs."""

SEED = 0
"""Seed of the draws: the same figures have the same interval."""

_QUANTILES = (0.025, 0.975)
_DRAWS_AT_ONCE = 100  # bounds the memory
_COLUMNS = ("mse", "base_mse", "fmse", "base_fmse", "better", "pairs")


@dataclass(frozen=True)
class Interval:
    """A figure and its uncertainty.

    Attributes:
        value: the figure over all images.
        low: lower end of the 95 % interval; None of fewer than two photographs.
        high: upper end.
        deviation: standard deviation over the draws.
    """

    value: float
    low: float | None
    high: float | None
    deviation: float | None

    def to_json(self) -> dict[str, float | None]:
        """Return the fields by name."""
        return {"value": self.value, "low": self.low, "high": self.high, "deviation": self.deviation}


@dataclass(frozen=True)
class PairedImage:
    """Two errors of one image: of what is judged, and of what it is compared with."""

    photograph: str
    errors: ImageErrors
    base: ImageErrors


@dataclass(frozen=True)
class Comparison:
    """Errors as a share of those of something else, on the same images.

    Attributes:
        photographs: number of photographs.
        fmse_ratio: mean fMSE over the other's; None where no image has one, or the other's is 0.
        mse_ratio: mean MSE over the other's, alike.
        fmse_difference: mean fMSE minus the other's.
        mse_difference: mean MSE minus the other's.
        better: share of the images whose fMSE is below the other's.
    """

    photographs: int
    fmse_ratio: Interval | None
    mse_ratio: Interval | None
    fmse_difference: Interval | None
    mse_difference: Interval | None
    better: Interval | None

    FIGURES: ClassVar = ("fmse_ratio", "mse_ratio", "fmse_difference", "mse_difference", "better")

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name; null where there is none."""
        figures = {name: getattr(self, name) for name in self.FIGURES}
        return {
            "photographs": self.photographs,
            **{name: None if interval is None else interval.to_json() for name, interval in figures.items()},
        }

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """Return the figures and their intervals' ends: `[PREFIX]fmse_ratio[_low|_high]` and its like."""
        metrics = {}
        for name in self.FIGURES:
            interval: Interval | None = getattr(self, name)
            if interval is None:
                continue
            metrics[f"{prefix}{name}"] = interval.value
            if interval.low is not None and interval.high is not None:
                metrics |= {f"{prefix}{name}_low": interval.low, f"{prefix}{name}_high": interval.high}
        return metrics


def compare(images: Sequence[PairedImage]) -> Comparison:
    """Compare two errors of each image; there is at least one image."""
    rows: dict[str, list[list[float]]] = {}
    for image in images:
        rows.setdefault(image.photograph, []).append(_row(image.errors, image.base))
    sums = np.array([np.sum(of_photograph, axis=0) for of_photograph in rows.values()])
    counts = np.array([len(of_photograph) for of_photograph in rows.values()], np.float64)
    table = np.column_stack([sums, counts])
    total, draws = table.sum(axis=0), _draws(table)
    mse, base_mse, fmse, base_fmse, better, pairs, images_drawn = range(len(_COLUMNS) + 1)
    return Comparison(
        photographs=len(rows),
        fmse_ratio=_quotient(total, draws, [fmse], base_fmse),
        mse_ratio=_quotient(total, draws, [mse], base_mse),
        fmse_difference=_quotient(total, draws, [fmse, base_fmse], pairs),
        mse_difference=_quotient(total, draws, [mse, base_mse], images_drawn),
        better=_quotient(total, draws, [better], pairs),
    )


def comparisons_by_group(
    results: Iterable[ImageResult], others: Iterable[ImageResult] | None = None
) -> dict[tuple[str, str], dict[str, Comparison]]:
    """Compare within each group of the report.

    Args:
        results: the figures of a model.
        others: figures of another model on the same images, in the same order; without them the model and
            the tricks are compared with the composite.

    Returns:
        {(dimension, name): {"harmonized": ..., and so each trick}}; with `others` only "harmonized".
    """
    images: dict[tuple[str, str], dict[str, list[PairedImage]]] = {}
    for result, base in _with_bases(results, others):
        whose = {"harmonized": result.harmonized, **({} if others is not None else result.tricks)}
        for group in groups_of(result):
            for name, errors in whose.items():
                pair = PairedImage(result.photograph, errors, base)
                images.setdefault(group, {}).setdefault(name, []).append(pair)
    return {
        group: {name: compare(pairs) for name, pairs in by_name.items()} for group, by_name in images.items()
    }


def comparison_metrics(
    comparisons: dict[tuple[str, str], dict[str, Comparison]], prefix: str = ""
) -> dict[str, float]:
    """Return the tracker's metrics: `eval/<group>/[PREFIX][<trick>_]fmse_ratio[_low|_high]` and its like."""
    metrics: dict[str, float] = {}
    for group, by_name in comparisons.items():
        for name, comparison in by_name.items():
            whose = "" if name == "harmonized" else f"{name}_"
            metrics |= comparison.metrics(f"eval/{group_name(group)}/{prefix}{whose}")
    return metrics


def _with_bases(
    results: Iterable[ImageResult], others: Iterable[ImageResult] | None
) -> Iterator[tuple[ImageResult, ImageErrors]]:
    if others is None:
        yield from ((result, result.composite) for result in results)
        return
    for result, other in zip(results, others, strict=True):
        if result.id != other.id:
            raise ValueError(f"two evaluations of different images: {result.id} and {other.id}")
        yield result, other.harmonized


def _row(errors: ImageErrors, base: ImageErrors) -> list[float]:
    """Return an image's contributions to `_COLUMNS`."""
    if errors.fmse is None or base.fmse is None:
        return [errors.mse, base.mse, 0.0, 0.0, 0.0, 0.0]
    better = float(errors.fmse < base.fmse)
    return [errors.mse, base.mse, errors.fmse, base.fmse, better, 1.0]


def _draws(table: Float64Array) -> Float64Array:
    """Return the [DRAWS,C] sums of each draw, of a photograph's sums [P,C]; none of a single photograph."""
    photographs = len(table)
    if photographs < 2:
        return np.empty((0, table.shape[1]))
    rng = np.random.default_rng(SEED)
    shares = np.full(photographs, 1 / photographs)
    return np.concatenate(
        [rng.multinomial(photographs, shares, _DRAWS_AT_ONCE) @ table for _ in range(DRAWS // _DRAWS_AT_ONCE)]
    )


def _quotient(
    total: Float64Array, draws: Float64Array, numerators: list[int], denominator: int
) -> Interval | None:
    """Return a column, less another if there are two, over a third; None where that is 0."""
    if total[denominator] == 0:
        return None

    def value(sums: Float64Array) -> Float64Array:
        first, *rest = (sums[..., column] for column in numerators)
        quotient: Float64Array = (first - sum(rest)) / sums[..., denominator]
        return quotient

    drawn = value(draws[draws[:, denominator] != 0])
    if not len(drawn):
        return Interval(float(value(total)), None, None, None)
    low, high = np.quantile(drawn, _QUANTILES)
    return Interval(float(value(total)), float(low), float(high), float(drawn.std()))
