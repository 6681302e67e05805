"""Warnings before a run begins, of what nothing forbids."""

from __future__ import annotations

from collections.abc import Mapping

from torch.nn.modules.batchnorm import _BatchNorm

from charmnet.methods import Method
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.union import DatasetUnion
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from pipelines.training.validation import validated_dataset, validated_domain

FEWEST_NORMALIZED = 8
"""Fewest pairs whose statistics a batch norm can use; of two, each value of a 1x1 layer becomes 1 or -1."""


def start_warnings(
    config: TrainConfig, method: Method, datasets: Mapping[Domain, Dataset | DatasetUnion]
) -> list[str]:
    """Return the warnings of a run, each with its remedy."""
    found = (_few_normalized(config, method), _validated_and_trained(config, method, datasets))
    return [warning for warning in found if warning]


def _few_normalized(config: TrainConfig, method: Method) -> str | None:
    """Warn of batch norms that see few pairs: of a worker's share of the batch, or of a part of it."""
    modules = (module for network in method.modules.values() for module in network.modules())
    if not any(isinstance(module, _BatchNorm) for module in modules):
        return None
    workers = 1 if config.sync_batch_norm else config.worker_range[1]  # that a norm's batch is divided among
    pairs = config.batch_size // workers // config.gradient_accumulation
    if pairs >= FEWEST_NORMALIZED:
        return None
    remedies = ["a larger batch_size"]
    if config.gradient_accumulation > 1:
        remedies.insert(0, "less gradient_accumulation")
    if workers > 1:
        remedies = ["sync_batch_norm=true", "fewer workers", *remedies]
    parts = f" in {config.gradient_accumulation} parts" if config.gradient_accumulation > 1 else ""
    return (
        f"a worker's batch norms see {max(pairs, 1)} pairs at a time (batch_size={config.batch_size}, "
        f"workers {config.worker_range[1]}{parts}), and below {FEWEST_NORMALIZED} their statistics say "
        f"little of the data; {' or '.join(remedies)} mends it"
    )


def _validated_and_trained(
    config: TrainConfig, method: Method, datasets: Mapping[Domain, Dataset | DatasetUnion]
) -> str | None:
    """Warn where the best model is chosen by pictures that it is trained on."""
    domain = validated_domain(method)
    validates = config.validate_splits and config.validate_every
    if not validates or domain not in method.domains:
        return None
    selection = Selection(config.real_select if domain is Domain.REAL else config.rendered_select)
    split = config.validate_splits[0]
    manifest = validated_dataset(datasets[domain], domain).manifest
    if not any(split in stratum.splits and selection(stratum) for stratum in manifest.strata):
        return None
    return (
        f"the best model is chosen by the split {split}, of which pictures are trained on: its figures on "
        f"them say nothing of others; leave them out ({domain}_select) or validate on another split"
    )
