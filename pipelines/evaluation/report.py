"""Figures of an evaluation: sums over images by group, as JSON and as metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from charmnet.metrics import (
    ErrorSums,
    ImageErrors,
    foreground_ratio_bin,
)
from pipelines.shards.stratum import Stratum

NO_NAME = "none"
"""Name of the group of images without a category."""

DIMENSIONS = ("subset", "split", "category", "foreground_ratio")
"""Kinds of groups; where a split has a subset's name, the metrics of that name are the split's."""

_UNUSUAL = re.compile(r"[^\w\-. ]")  # characters that the tracking server refuses in names, and "/"


@dataclass(frozen=True)
class ImageResult:
    """Errors of one image, before and after harmonization."""

    id: str
    """Id of the image; see `EvaluationImage`."""

    photograph: str
    """Name of the photograph, or of the rendered scene, that it is made of."""

    stratum: Stratum
    """Domain, subset, category and splits of the image."""

    foreground_ratio: float
    """Share of the stored picture's area that is foreground, 0 to 1."""

    composite: ImageErrors
    """Errors of the composite."""

    harmonized: ImageErrors
    """Errors of the harmonized image."""

    tricks: Mapping[str, ImageErrors] = field(default_factory=dict)
    """Errors of the corrections that need no learning, by name; none where they were not asked for."""

    @property
    def errors(self) -> dict[str, ImageErrors]:
        """Errors by the name of what has them: "composite", "harmonized" and the tricks."""
        return {"composite": self.composite, "harmonized": self.harmonized, **self.tricks}


@dataclass
class EvaluationReport:
    """Sums over images: over all, and by split, subset, category and foreground ratio."""

    sums: dict[tuple[str, str], dict[str, ErrorSums]] = field(default_factory=dict)
    """{(dimension, name): {"composite": ..., "harmonized": ..., and the tricks}}; ("all", "") is over all."""

    @classmethod
    def over(cls, results: Iterable[ImageResult]) -> EvaluationReport:
        """Sum up results."""
        report = cls()
        for result in results:
            report.add(result)
        return report

    def add(self, result: ImageResult) -> None:
        """Count one image in every group that it belongs to."""
        sums = {name: ErrorSums.of(errors) for name, errors in result.errors.items()}
        for group in groups_of(result):
            self._add(group, sums)

    def merge(self, other: EvaluationReport) -> None:
        """Add the sums of another worker."""
        for group, sums in other.sums.items():
            self._add(group, sums)

    def _add(self, group: tuple[str, str], sums: dict[str, ErrorSums]) -> None:
        previous = self.sums.get(group, {})
        self.sums[group] = {name: previous.get(name, ErrorSums()) + value for name, value in sums.items()}

    @property
    def count(self) -> int:
        """Number of images."""
        return self.sums["all", ""]["harmonized"].count if self.sums else 0

    def to_json(self) -> dict[str, Any]:
        """Return {"all": FIGURES, "split": {NAME: FIGURES}, and so subset, category and foreground_ratio}.

        FIGURES are {"composite": {"mse", "fmse", "psnr"}, "harmonized": {...}, "count", "undefined"}, where
        "undefined" counts the images that have no fMSE (no foreground left) or no PSNR (no error). They have
        "ssim" where it was measured, and figures of each trick under its name.
        """
        report: dict[str, Any] = {"all": {}} | {dimension: {} for dimension in DIMENSIONS}
        for (dimension, name), sums in sorted(self.sums.items(), key=lambda item: _sort_key(item[0])):
            if dimension == "all":
                report["all"] = _figures(sums)
            else:
                report[dimension][name] = _figures(sums)
        return report

    def metrics(self) -> dict[str, float]:
        """Return the defined figures by the tracker's names: `eval/<group>/[<whose>_]{mse,fmse,psnr,ssim}`.

        A group is `all`, a split or subset by its name, `category_<name>` or `foreground_ratio_<bin>`; whose
        is `composite` or a trick, and nothing for the harmonized image.
        """
        metrics = {}
        for group, sums in sorted(self.sums.items(), key=lambda item: _sort_key(item[0])):
            for image in sums:
                prefix = "" if image == "harmonized" else f"{image}_"
                for figure, value in sums[image].means().items():
                    if value is not None:
                        metrics[f"eval/{group_name(group)}/{prefix}{figure}"] = value
        return metrics


def group_name(group: tuple[str, str]) -> str:
    """Return a group's name in metrics: "all", a split or subset by its name, or dimension and name."""
    dimension, name = group
    return metric_name({"all": "all", "split": name, "subset": name}.get(dimension, f"{dimension}_{name}"))


def metric_name(name: str) -> str:
    """Return a group's name as the tracking server accepts it."""
    return _UNUSUAL.sub("_", name)


def _sort_key(group: tuple[str, str]) -> tuple[int, float, str]:
    dimension, name = group
    order = ("all", *DIMENSIONS).index(dimension)
    return order, float(name.split("-")[0]) if dimension == "foreground_ratio" else 0, name


def groups_of(result: ImageResult) -> Iterator[tuple[str, str]]:
    """Yield the (dimension, name) of each group that an image belongs to."""
    yield "all", ""
    yield from (("split", split) for split in result.stratum.splits)
    yield "subset", result.stratum.subset
    yield "category", result.stratum.category or NO_NAME
    yield "foreground_ratio", foreground_ratio_bin(result.foreground_ratio)


def _figures(sums: dict[str, ErrorSums]) -> dict[str, Any]:
    return {
        **{name: value.means() for name, value in sums.items()},
        "count": sums["harmonized"].count,
        "undefined": {name: sums[name].undefined() for name in ("composite", "harmonized")},
    }
