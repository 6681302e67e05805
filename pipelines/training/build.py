"""From a configuration and opened data sets to the method and the streams of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charmnet.methods import Method, build_method
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection

RELEASED_EPOCHS = 200


def stream_specs(
    config: TrainConfig, datasets: Mapping[Domain, Dataset], domains: frozenset[Domain]
) -> dict[str, StreamSpec]:
    """What of each domain is streamed, by the domain's name.

    Raises:
        ValueError: a selection picks nothing.
    """
    selections = {Domain.REAL: config.real_select, Domain.RENDERED: config.rendered_select}
    specs = {
        domain.value: StreamSpec(
            dataset=datasets[domain],
            batch_size=config.batch_size,
            seed=config.seed,
            selection=Selection(selections[domain]),
            decoding=config.decode,
            pool_row_groups=config.pool_row_groups,
            timeout_seconds=config.storage_timeout_seconds,
        )
        for domain in sorted(domains)
    }
    for spec in specs.values():
        _ = spec.plan  # refuses an empty selection here and not in a worker
    return specs


def released_steps(specs: Mapping[str, StreamSpec]) -> int:
    """200 epochs, of which each has as many batches as the smaller domain."""
    return RELEASED_EPOCHS * min(-(-s.plan.num_samples // s.batch_size) for s in specs.values())


def method_of(config: TrainConfig) -> Method:
    """The method that a configuration describes, freshly initialised from its seed."""
    options: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "width": config.width,
        "precision": config.precision,
        "attention_bias": config.attention_bias,
        "seed": config.seed,
    }
    if config.method == "charmnet":
        options["domain_statistics"] = config.domain_statistics
    else:
        options["domain"] = config.idih_domain
    return build_method(config.method, **options)
