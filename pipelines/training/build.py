"""The method, the streams and the plan of a run, from its configuration and its data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from charmnet.methods import HarmonizationMethod, Method, TranslationMethod, build_method
from charmnet.vocabulary import Domain
from pipelines.config.profiled import profiled_steps
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.training.schedule import LearningRateSchedule
from pipelines.training.split_reader import SplitReader
from pipelines.training.translation_validation import TranslationValidation
from pipelines.training.validation import (
    HarmonizationValidation,
    Validation,
    validated_dataset,
    validated_domain,
)


@dataclass(frozen=True)
class TrainingPlan:
    """A run as it is carried out.

    Attributes:
        config: configuration of the run, its length included.
        steps: length of the run.
        schedule: learning rates over the run.
    """

    config: TrainConfig
    steps: int
    schedule: LearningRateSchedule


def configured_method(config: TrainConfig) -> Method:
    """Return the method that a configuration describes, freshly initialised from its seed."""
    method = build_method(config.method.name, **config.method.model_dump(mode="json"), seed=config.seed)
    method.configure_updates(config.gradient_accumulation, config.max_gradient_norm)
    return method


def smallest_batch(config: TrainConfig, method: Method) -> int:
    """Return the fewest samples of a step that a worker may get."""
    return config.gradient_accumulation * method.requirements.smallest_batch


def stream_specs(
    config: TrainConfig, datasets: Mapping[Domain, Dataset | DatasetUnion], method: Method
) -> dict[str, StreamSpec]:
    """Return the streams that a method is trained on, by the domain's name.

    Raises:
        ValueError: a selection picks nothing, or rendered samples lack what the method needs.
    """
    selections = {Domain.REAL: config.real_select, Domain.RENDERED: config.rendered_select}
    limits = {Domain.REAL: config.real_limit, Domain.RENDERED: config.rendered_limit}
    specs = {
        domain.value: StreamSpec(
            dataset=datasets[domain],
            batch_size=config.batch_size,
            seed=config.seed,
            selection=Selection(selections[domain]),
            size=method.size,
            decoding=config.decode,
            pool_row_groups=config.pool_row_groups,
            timeout_seconds=config.storage_timeout_seconds,
            augmentation=method.requirements.augmentation,
            mask_edges=method.requirements.mask_edges,
            smallest_share=smallest_batch(config, method),
            limit=limits[domain] or None,
            color_jitter=config.color_jitter if domain is Domain.REAL else 0.0,
        )
        for domain in sorted(method.domains)
    }
    for spec in specs.values():  # here and not in a worker
        spec.check_not_empty()
        if spec.domain is Domain.RENDERED and method.requirements.styles and not spec.union.has_styles:
            raise ValueError(
                f"--rendered {', '.join(spec.union.uris)}: a real data set among them has no capture "
                f"conditions, which {method.name} learns from; expected rendered data sets alone"
            )
    return specs


def resolve(config: TrainConfig, specs: Mapping[str, StreamSpec]) -> TrainingPlan:
    """Return the plan of a run, whose length is in epochs where the configuration names no steps.

    Raises:
        ValueError: the schedule or the steps that are traced do not fit.
    """
    epoch_steps = min(-(-spec.plan.num_samples // spec.batch_size) for spec in specs.values())
    steps = config.steps or config.epochs * epoch_steps
    if (traced := profiled_steps(config.profile)) and traced[1] > steps:
        raise ValueError(f"profile={config.profile}: the run has {steps} steps; expected some of these")
    return TrainingPlan(
        config.replaced(steps=steps), steps, LearningRateSchedule.of(config, steps, epoch_steps)
    )


def make_validation(
    method: Method,
    config: TrainConfig,
    datasets: Mapping[Domain, Dataset | DatasetUnion],
    *,
    rank: int = 0,
    num_workers: int = 1,
    notify: Callable[[str], object] | None = None,
) -> Validation:
    """Return the validation that suits a method."""
    readers = {
        domain: SplitReader(
            validated_dataset(dataset, domain), config.validate_images, config.storage_timeout_seconds, notify
        )
        for domain, dataset in datasets.items()
    }
    reader = readers.get(validated_domain(method))
    options = {"sample_rows": config.sample_rows, "rank": rank, "num_workers": num_workers}
    if isinstance(method, TranslationMethod):
        (target,) = set(Domain) - {method.source}
        return TranslationValidation(method, config.validate_splits, reader, readers.get(target), **options)
    assert isinstance(method, HarmonizationMethod)
    return HarmonizationValidation(method, config.validate_splits, reader, **options)
