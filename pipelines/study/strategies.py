"""Strategies: the runs that a row consists of, one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from charmnet.methods import TranslationMethod, method_class
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.study.definition import Row
from pipelines.study.inputs import StudyInputs
from pipelines.study.plan import PlannedRun, PlannedTranslation, Step
from pipelines.study.selections import NOVEL

_VALIDATIONS = 8
_LEAST_STEPS_BETWEEN = 10
_MOST_STEPS_BETWEEN_CHECKPOINTS = 1000
_LENGTHS = ("samples", "epochs")
_SECOND_STAGE = "second_stage"


@dataclass(frozen=True)
class RowPlanner:
    """The strategies, for one row and seed.

    Attributes:
        inputs: study and data.
        name: name of the run that is evaluated.
        row: the row.
        head: value of the methods' option `head`; None where the method has none.
        seed: seed of all runs.
    """

    inputs: StudyInputs
    name: str
    row: Row
    head: str | None
    seed: int

    def real(self) -> list[Step]:
        """Return a run on real composites."""
        return [self._run(self.name, self._real_data())]

    def rendered(self) -> list[Step]:
        """Return a run on rendered composites."""
        return [self._run(self.name, self._rendered_data())]

    def two_stage(self) -> list[Step]:
        """Return a run on rendered composites, and one that goes on from its weights on real ones."""
        first = self._run(f"{self.name}-stage-1", self._rendered_data())
        init = str(self.inputs.settings.storage / first.last_checkpoint)
        second = self._run(self.name, {**self._real_data(), "init": init}, second_stage=True)
        return [first, second]

    def fusion(self, rendered: str | None = None) -> list[Step]:
        """Return a run on the union of both data sets, in which each sample comes once an epoch."""
        of_real, of_rendered = self._real_select, self.inputs.rendered_select
        share = self._real_samples / (self._real_samples + self.inputs.rendered_samples())
        data = {
            "real_select": f"(domain == 'real' and {of_real}) or (domain == 'rendered' and {of_rendered})",
        }
        uris = {"real": [self._real_uri, rendered or self._rendered_uri]}
        return [self._run(self.name, data, uris=uris, real_share=share)]

    def translate(self) -> list[Step]:
        """Return a translator's run, the translation of the scenes, and a run on their union with real."""
        assert self.row.translator is not None
        settings = self.inputs.settings
        if not issubclass(method_class(self.row.translator), TranslationMethod):
            raise ValueError(f"translator={self.row.translator} does not translate; choose another method")
        translator = self._run(f"{self.name}-translator", self._both_data(), method=self.row.translator)
        name = f"{self.name}-translated"
        translated = settings.dest / "translated" / name
        model = settings.storage / translator.last_checkpoint
        translation = PlannedTranslation(name, str(model), self._rendered_uri, str(translated))
        return [translator, translation, *self.fusion(str(translated))]

    def both(self) -> list[Step]:
        """Return a run that takes a batch of each domain in every step."""
        return [self._run(self.name, self._both_data())]

    @property
    def _real_uri(self) -> str:
        return str(self.inputs.real.dataset.location)

    @property
    def _rendered_uri(self) -> str:
        assert self.inputs.rendered is not None
        return str(self.inputs.rendered.location)

    @property
    def _real_select(self) -> str:
        return self.inputs.real.select(self.row.real, "train")

    @property
    def _real_samples(self) -> int:
        return min(self.inputs.real_samples(self.row.real), self._limit or math.inf)  # type: ignore[return-value]

    @property
    def _limit(self) -> int:
        """Samples of either domain that are trained on; 0 is all."""
        return self.inputs.real_samples(NOVEL) if self.row.limit == "novel" else 0

    def _real_data(self) -> dict[str, Any]:
        return {"real_select": self._real_select, "real_limit": self._limit}

    def _rendered_data(self) -> dict[str, Any]:
        if "domain" not in method_class(self.row.method).Options.model_fields:
            raise ValueError(
                f"strategy={self.row.strategy} trains on rendered pictures alone, for which "
                f"{self.row.method} has no option domain; choose another method or strategy"
            )
        limit = min(self._limit, self.inputs.rendered_samples())
        return {
            "rendered_select": self.inputs.rendered_select,
            "rendered_limit": limit,
            "domain": Domain.RENDERED.value,
        }

    def _both_data(self) -> dict[str, Any]:
        return {**self._real_data(), "rendered_select": self.inputs.rendered_select}

    def _run(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        method: str | None = None,
        uris: Mapping[str, Sequence[str]] | None = None,
        real_share: float = 1.0,
        second_stage: bool = False,
    ) -> PlannedRun:
        """Return a run.

        Args:
            name: name of the run.
            data: fields of the configuration that say what it is trained on.
            method: method; by default the row's.
            uris: URIs of its data sets; by default those of the domains that it needs.
            real_share: share of real samples in its stream.
            second_stage: whether it goes on from a first stage.
        """
        method = method or self.row.method
        fields = self._fields(method)
        later = fields.pop(_SECOND_STAGE, {})
        fields |= later if second_stage else {}
        length = {unit: fields.pop(unit) for unit in _LENGTHS if unit in fields}
        config = TrainConfig(method=method, **{**fields, **data}, seed=self.seed)
        steps = self.inputs.settings.steps or self._steps(config, length, real_share)
        translates = issubclass(method_class(method), TranslationMethod)
        every = min(steps, max(_LEAST_STEPS_BETWEEN, steps // _VALIDATIONS))
        config = config.replaced(
            steps=steps,
            workers=self.inputs.settings.workers,
            validate_splits=() if translates else self.inputs.real.validation_splits,
            validate_every=every,
            checkpoint_every=min(every, _MOST_STEPS_BETWEEN_CHECKPOINTS),
            keep_checkpoints=1,
        )
        return PlannedRun(name, config, uris or self._uris(config))

    def _fields(self, method: str) -> dict[str, Any]:
        """Return the fields of the configuration by scale, budget, head and row; the later win."""
        study, settings = self.inputs.study, self.inputs.settings
        layers = [
            study.scales[settings.scale].of_method(method),
            study.budgets[settings.budget].of_method(method),
        ]
        if method == self.row.method:
            if self.head is not None:
                layers.append({"head": self.head, **study.heads[self.head].of_method(method)})
            layers.append(self.row.options)
        fields: dict[str, Any] = {}
        for layer in layers:
            for unit in set(_LENGTHS) & set(layer):
                fields = {name: value for name, value in fields.items() if name not in _LENGTHS}
                fields[unit] = layer[unit]
            fields |= layer
        return fields

    def _steps(self, config: TrainConfig, length: Mapping[str, float], real_share: float) -> int:
        if "epochs" in length:
            samples = length["epochs"] * self._stream_samples(config, real_share)
        elif "samples" in length:
            samples = length["samples"] / real_share
        else:
            raise ValueError(
                f"neither samples nor epochs for the method {config.method.name}; set one in its budget or "
                "scale"
            )
        return max(1, math.ceil(samples / config.batch_size))

    def _stream_samples(self, config: TrainConfig, real_share: float) -> float:
        """Return the samples of an epoch of the run's smaller stream."""
        domains = self._domains(config)
        counts = []
        if Domain.REAL in domains:
            counts.append(self._real_samples / real_share)
        if Domain.RENDERED in domains:
            counts.append(config.rendered_limit or self.inputs.rendered_samples())
        return min(counts)

    def _domains(self, config: TrainConfig) -> frozenset[Domain]:
        domain = getattr(config.method, "domain", None)
        return frozenset({Domain(domain)}) if domain else method_class(config.method.name).domains

    def _uris(self, config: TrainConfig) -> dict[str, list[str]]:
        """Return the data sets of a run's domains, and the real one wherever it is validated on."""
        domains = {*self._domains(config), *([Domain.REAL] if config.validate_splits else [])}
        uris = {Domain.REAL: lambda: self._real_uri, Domain.RENDERED: lambda: self._rendered_uri}
        return {domain.value: [uris[domain]()] for domain in sorted(domains)}
