"""An evaluation's figures, put together of those of every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.evaluation.bootstrap import Comparison, comparison_metrics, comparisons_by_group
from pipelines.evaluation.report import EvaluationReport, ImageResult


@dataclass
class Evaluation:
    """Figures of an evaluation in all forms that they are handed on in.

    Attributes:
        results: figures of every image.
        about: what was evaluated, and how.
        others: figures of every image by the model that it is compared with, if any.
    """

    results: Sequence[ImageResult]
    about: Mapping[str, Any]
    others: Sequence[ImageResult] | None = None
    report: EvaluationReport = field(init=False)
    comparisons: dict[tuple[str, str], dict[str, Comparison]] = field(init=False)
    against_other: dict[tuple[str, str], dict[str, Comparison]] = field(init=False)
    figures: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.report = EvaluationReport.over(self.results)
        self.comparisons = comparisons_by_group(self.results)
        self.figures = self.report.to_json()
        for group, by_name in self.comparisons.items():
            self._group(group)["against_composite"] = {
                whose: against.to_json() for whose, against in by_name.items()
            }
        self.against_other = {} if self.others is None else comparisons_by_group(self.results, self.others)
        for group, by_name in self.against_other.items():
            self._group(group)["against_other"] = by_name["harmonized"].to_json()

    def _group(self, group: tuple[str, str]) -> dict[str, Any]:
        dimension, name = group
        figures: dict[str, Any] = self.figures[dimension]
        return figures if dimension == "all" else figures[name]

    def metrics(self) -> dict[str, float]:
        """Return the metrics by the tracker's names."""
        against_other = comparison_metrics(self.against_other, "against_other_")
        return self.report.metrics() | comparison_metrics(self.comparisons) | against_other
