"""What a run is made of, checked before anything is started or written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from charmnet.methods import Method
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion
from pipelines.runs.checkpoints import newest_metadata
from pipelines.runs.driver_lease import check_not_held
from pipelines.runs.models import absolute_uri, load_model
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.cluster import LOCAL, cluster_address
from pipelines.runtime.rehearsal import Rehearsal, place_of_work
from pipelines.training.build import TrainingPlan, configured_method, resolve, smallest_batch, stream_specs
from pipelines.training.placement import data_nodes, place
from pipelines.training.start_warnings import start_warnings
from pipelines.training.validation import check_validation


@dataclass(frozen=True)
class Preparation:
    """Parts of a run that fit together.

    Attributes:
        method: method as configured.
        config: configuration, with the URI of the model to start from as every worker can find it.
        datasets: data sets by domain, several of one domain as a union.
        specs: streams that are trained on, by the domain's name.
        plan: length and schedule.
    """

    method: Method
    config: TrainConfig
    datasets: dict[Domain, DatasetUnion]
    specs: dict[str, StreamSpec]
    plan: TrainingPlan

    @property
    def digests(self) -> dict[str, str]:
        """Checksums of the data sets by the domain's name."""
        return {domain.value: union.digest for domain, union in self.datasets.items()}


def prepare(
    config: TrainConfig, uris: Mapping[Domain, str | Sequence[str]], tracking_uri: str | None
) -> Preparation:
    """Open the data sets of a run and fit configuration, method and data together; print warnings.

    Raises:
        ValueError: they do not fit.
        DataError, StorageError: a data set cannot be used.
    """
    method = configured_method(config)
    datasets = _open_datasets(uris, method.domains)
    config = config.replaced(init=_checked_init(config, method, tracking_uri))
    specs = stream_specs(config, datasets, method)
    plan = resolve(config, specs)
    check_validation(method, config, datasets)
    for warning in start_warnings(config, method, datasets):
        print(f"warning: {warning}", flush=True)
    return Preparation(method, config, datasets, specs, plan)


def rehearse(ready: Preparation, storage: str, name: str, experiment: str) -> Rehearsal:
    """Return what a run would read, write and run where, without starting or writing anything.

    Raises:
        ValueError: the run does not fit the machine, or the run of that name that it would go on with.
        StorageError: the destination holds something else.
        RunHeldError: another process of this machine drives that run.
        ClusterError: no cluster answers at RAY_ADDRESS.
    """
    config = ready.plan.config
    reads = []
    for domain, union in ready.datasets.items():
        samples = sum(manifest.samples for manifest in union.manifests)
        used = "" if domain.value in ready.specs else " (validation alone)"
        reads.append(f"{domain}: {', '.join(union.uris)}: {samples:,} samples{used}")
    folder = RunFolder.of(storage, name)
    check_not_held(folder.location)
    record = folder.check(config, ready.digests, experiment)
    newest = None if record is None else newest_metadata(folder.location)
    begun = "a new run" if newest is None else f"the run goes on after step {newest[1]['step']:,}"
    steps = f"{ready.plan.steps:,} steps of {config.batch_size} pairs"
    runs = f"{ready.method.name}: {steps}, workers {config.workers}, {_where(ready)}"
    return Rehearsal(reads, {folder.location: begun}, runs)


def _where(ready: Preparation) -> str:
    """Return where a run would train, once it is known to fit there."""
    if cluster_address() != LOCAL:
        return f"{place_of_work()}, where it is placed when it begins"
    cpus, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    here = {"Alive": True, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}, "Labels": {}}
    nodes = data_nodes(ready.plan.config, [here])
    smallest = smallest_batch(ready.config, ready.method)
    placement = place(ready.plan.config, len(ready.specs), float(cpus), float(gpus), smallest, nodes)
    return f"on this machine ({cpus} CPUs, {gpus} GPUs), on {'GPUs' if placement.use_gpu else 'CPUs'}"


def _checked_init(config: TrainConfig, method: Method, tracking_uri: str | None) -> str | None:
    """Return the URI of the model to start from as every worker can find it, once it is known to fit.

    Raises:
        ValueError, WeightsError, StorageError: there is none, or its networks are of another kind or shape.
    """
    if config.init is None:
        return None
    method.warm_start(load_model(config.init, tracking_uri))
    return absolute_uri(config.init)


def _open_datasets(
    uris: Mapping[Domain, str | Sequence[str]], domains: frozenset[Domain]
) -> dict[Domain, DatasetUnion]:
    missing = sorted(f"--{domain}" for domain in domains if domain not in uris)
    if missing:
        raise ValueError(
            f"{' and '.join(missing)} missing: the method needs a data set of each domain"
            + ("; method=idih trains on the real one alone" if Domain.REAL in uris else "")
        )
    datasets = {}
    for domain in sorted(uris):
        value = uris[domain]
        union = DatasetUnion.open([value] if isinstance(value, str) else value, domain)
        held = sorted({str(manifest.domain) for manifest in union.manifests})
        if domain.value not in held:
            raise ValueError(f"--{domain} {', '.join(union.uris)}: holds the {', '.join(held)} domain")
        datasets[domain] = union
    return datasets
