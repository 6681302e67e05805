"""Intervals of an evaluation by bootstrap over photographs.

Photographs are drawn with replacement, each with all its composites. A ratio is of sums over the drawn
images, as the ratio of the means is over all images. Intervals are over photographs and say nothing of what
another seed of the training would give. Of a handful of photographs there are none: draws of the same few
photographs spread too little to hold the true figure 95 times in 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from charmnet.arrays import Float64Array
from charmnet.metrics import ImageErrors
from pipelines.evaluation.report import ImageResult, group_name, groups_of

DRAWS = 1_000
"""Number of draws of all photographs."""

SEED = 0
"""Seed of the draws: the same figures have the same interval."""

LEAST_PHOTOGRAPHS = 10
"""Least number of photographs that have an interval."""

_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Interval:
    """A figure and its uncertainty.

    Attributes:
        value: the figure over all images.
        low: lower end of the 95 % interval; None of fewer than `LEAST_PHOTOGRAPHS`.
        high: upper end, alike.
        deviation: standard deviation over the draws, alike.
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
    """Compare two errors of each image, in whatever order they stand; there is at least one image."""
    rows: dict[str, list[_Sums]] = {}
    for image in images:
        rows.setdefault(image.photograph, []).append(_row(image.errors, image.base))
    # Sorted, so that draws and rounding errors do not depend on the order of the images.
    table = np.array([np.sum(sorted(rows[photograph]), axis=0) for photograph in sorted(rows)])
    sums = _Sums(*np.vstack([table.sum(axis=0), _draws(table)]).T)
    return Comparison(
        photographs=len(rows),
        fmse_ratio=_quotient(sums.fmse, sums.base_fmse),
        mse_ratio=_quotient(sums.mse, sums.base_mse),
        fmse_difference=_quotient(sums.fmse - sums.base_fmse, sums.pairs),
        mse_difference=_quotient(sums.mse - sums.base_mse, sums.images),
        better=_quotient(sums.better, sums.pairs),
    )


def interval_of_mean(
    photographs: Sequence[str], values: Float64Array, weights: Float64Array | None = None
) -> Interval | None:
    """Return the mean of images' values, or their sum over the sum of weights.

    Args:
        photographs: photograph of each image.
        values: [N] value of each image; an image with NaN is left out.
        weights: [N] what the values are a share of, such as errors of the composites; none is 1 for each.

    Returns:
        The figure; None where no image has one, or the weights' sum is 0.
    """
    weights = np.ones_like(values) if weights is None else weights
    defined = np.isfinite(values) & np.isfinite(weights)
    if not defined.any():
        return None
    named, numbers = np.unique(np.asarray(photographs)[defined], return_inverse=True)
    table = np.zeros((len(named), 2))
    np.add.at(table, numbers, np.column_stack([values, weights])[defined])
    sums = np.vstack([table.sum(axis=0), _draws(table)])
    return _quotient(sums[:, 0], sums[:, 1])


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


class _Sums(NamedTuple):
    """Sums over images: those of one image, of a photograph's images, or [1+DRAWS] over all and of each draw.

    `pairs` counts the images that have both fMSE; `fmse`, `base_fmse` and `better` are over these alone.
    """

    mse: Any
    base_mse: Any
    fmse: Any
    base_fmse: Any
    better: Any
    pairs: Any
    images: Any


def _row(errors: ImageErrors, base: ImageErrors) -> _Sums:
    if errors.fmse is None or base.fmse is None:
        return _Sums(errors.mse, base.mse, 0.0, 0.0, 0.0, 0.0, 1.0)
    better = float(errors.fmse < base.fmse)
    return _Sums(errors.mse, base.mse, errors.fmse, base.fmse, better, 1.0, 1.0)


def _draws(table: Float64Array) -> Float64Array:
    """Return the [DRAWS,C] sums of each draw, of a photograph's sums [P,C]; none of too few photographs."""
    photographs = len(table)
    if photographs < LEAST_PHOTOGRAPHS:
        return np.empty((0, table.shape[1]))
    rng = np.random.default_rng(SEED)
    draws = (rng.integers(photographs, size=photographs) for _ in range(DRAWS))
    return np.stack([np.bincount(draw, minlength=photographs).astype(float) @ table for draw in draws])


def _quotient(numerators: Float64Array, denominators: Float64Array) -> Interval | None:
    """Return the first quotient with the interval of the others; None where its denominator is 0."""
    if denominators[0] == 0:
        return None
    defined = denominators != 0
    value, *drawn = (numerators[defined] / denominators[defined]).tolist()
    if not drawn:
        return Interval(value, None, None, None)
    low, high = np.quantile(drawn, _QUANTILES)
    return Interval(value, float(low), float(high), float(np.std(drawn)))
