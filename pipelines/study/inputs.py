"""A study with the data that it is carried out on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from charmnet.methods import METHODS
from pipelines.shards.reading import Dataset
from pipelines.study.definition import RENDERED_STRATEGIES, Study
from pipelines.study.plan import BOTH_HEADS, StudySettings
from pipelines.study.selections import PARTS, RealData, count_samples, rendered_selection


@dataclass(frozen=True)
class StudyInputs:
    """A study and its data, which go together.

    Attributes:
        study: the study.
        settings: see `StudySettings`.
        real: real data.
        rendered: rendered data, where a row needs them.

    Raises:
        ValueError: on construction, if budget, scale, head or a method is unknown, or rendered data are
            missing or lack the novel category.
    """

    study: Study
    settings: StudySettings
    real: RealData
    rendered: Dataset | None = None
    rendered_select: str = field(init=False, default="")

    def __post_init__(self) -> None:
        named = (("budget", self.study.budgets), ("scale", self.study.scales))
        for flag, known in named:
            value = getattr(self.settings, flag)
            if value not in known:
                raise ValueError(f"--{flag} {value}: expected one of {', '.join(known)}")
        unknown = [
            f"{method} (row {name})"
            for name, row in self.study.rows.items()
            for method in row.method_names
            if method not in METHODS
        ]
        if unknown:
            raise ValueError(f"unknown method {', '.join(unknown)}: expected one of {', '.join(METHODS)}")
        heads = (*self.study.heads, *([BOTH_HEADS] if len(self.study.heads) > 1 else []))
        if self.settings.head not in heads:
            raise ValueError(f"--head {self.settings.head}: expected one of {', '.join(heads)}")
        needing = [name for name, row in self.study.rows.items() if row.strategy in RENDERED_STRATEGIES]
        if needing and self.rendered is None:
            raise ValueError(f"--rendered is missing: the rows {', '.join(needing)} need rendered scenes")
        if self.rendered is not None:
            object.__setattr__(self, "rendered_select", rendered_selection(self.rendered, self.real.novel))

    def real_samples(self, part: str) -> int:
        """Return the real samples of an epoch of a part's training split."""
        return self._real_samples[part]

    def rendered_samples(self) -> int:
        """Return the rendered samples of an epoch."""
        return self._rendered_samples

    @cached_property
    def _real_samples(self) -> dict[str, int]:
        manifest = self.real.dataset.manifest
        return {part: count_samples(manifest, self.real.select(part, "train")) for part in PARTS}

    @cached_property
    def _rendered_samples(self) -> int:
        assert self.rendered is not None
        return count_samples(self.rendered.manifest, self.rendered_select)
