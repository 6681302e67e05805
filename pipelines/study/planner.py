"""Plans of all rows of a study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.study.definition import Row
from pipelines.study.inputs import StudyInputs
from pipelines.study.plan import BOTH_HEADS, PIXELS, RowPlan
from pipelines.study.strategies import RowPlanner


@dataclass(frozen=True)
class Planner(StudyInputs):
    """Plans of a study's rows over its data; see `StudyInputs`."""

    def plans(self) -> list[RowPlan]:
        """Return the plans of all rows: all rows of a seed, then those of the next.

        Raises:
            ValueError: a row's fields do not fit its methods, or a method does not suit its strategy.
        """
        return [plan for seed in range(self.settings.seeds) for plan in self._of_seed(seed)]

    def row_names(self, name: str) -> list[str]:
        """Return the names that a row of the study has by its heads, each a row of the tables."""
        return [of_head for of_head, _ in self._heads(name)]

    def label(self, row_name: str, name: str) -> str:
        """Return the text of a table's row, with its head where it is not the pixels'."""
        head = row_name.removeprefix(name).removeprefix("-")
        label = self.study.rows[name].label
        return f"{label} ({head} head)" if head else label

    def _of_seed(self, seed: int) -> Iterator[RowPlan]:
        for name in self.study.rows:
            for row_name, head in self._heads(name):
                try:
                    yield self._row_plan(row_name, self.study.rows[name], head, seed)
                except ValueError as error:
                    raise ValueError(f"row {name}: {error}") from error

    def _heads(self, name: str) -> list[tuple[str, str | None]]:
        """Return (name, head) of a row for each head; the pixels' are named as the row is."""
        row = self.study.rows[name]
        if not self.study.has_head(row):
            return [(name, None)]
        chosen = list(self.study.heads) if self.settings.head == BOTH_HEADS else [self.settings.head]
        return [(name if head == PIXELS else f"{name}-{head}", head) for head in chosen]

    def _row_plan(self, name: str, row: Row, head: str | None, seed: int) -> RowPlan:
        plan = RowPlanner(self, f"{name}-s{seed}", row, head, seed)
        steps = {
            "real": plan.real,
            "rendered": plan.rendered,
            "two-stage": plan.two_stage,
            "fusion": plan.fusion,
            "translate": plan.translate,
            "both": plan.both,
        }[row.strategy]()
        return RowPlan(name, seed, tuple(steps))
