"""Resources that a run asks of the cluster, so that data tasks and workers never starve each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.config.train_config import TrainConfig, data_requirements
from pipelines.ingest.lanes import lane_rows

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Placement:
    """Resources of a run's workers and data tasks.

    Attributes:
        use_gpu: whether each worker takes a GPU.
        cpus_per_worker: CPUs set aside for a training worker.
        cpus_per_task: CPUs set aside for a data task.
        cpus_per_domain: CPUs for all data tasks of a domain; None where the cluster may grow. Where tasks set
            none aside, how many of them may run.
    """

    use_gpu: bool
    cpus_per_worker: float
    cpus_per_task: float
    cpus_per_domain: float | None


@dataclass(frozen=True)
class DataNodes:
    """What the nodes offer that meet `data_resources`.

    Attributes:
        cpus: their CPUs.
        gpus: their GPUs, beside which workers may be.
        tasks: how many data tasks the resources suffice for; infinite where none is asked for.
    """

    cpus: float
    gpus: float
    tasks: float

    def cpus_for(self, num_domains: int, taken: float, cpus_per_task: float) -> float:
        """Return the CPUs for the tasks of a domain where workers may have taken some."""
        free = _floor((self.cpus - taken) / num_domains)
        if math.isinf(self.tasks):
            return free
        return min(free, self.tasks // num_domains * min(cpus_per_task, free))


def data_nodes(config: TrainConfig, nodes: Iterable[Mapping[str, Any]]) -> DataNodes | None:
    """Return what the nodes offer that the data tasks may run on; None where these are all nodes.

    Args:
        config: configuration of the run.
        nodes: the cluster's, as `ray.nodes()` returns them.

    Raises:
        ValueError: there is no such node in a cluster that does not grow.
    """
    amounts, labels = data_requirements(config.data_resources)
    if not (amounts or labels):
        return None
    meeting = [
        node["Resources"]
        for node in nodes
        if node["Alive"]
        and all(node["Resources"].get(name, 0.0) >= amount for name, amount in amounts.items())
        and labels.items() <= node["Labels"].items()
    ]
    if not meeting and config.accelerator != "gpu":
        raise ValueError(
            f"data_resources={config.data_resources}: no node of the cluster has that; start one with "
            """`ray start --address=... --resources='{"NAME": NUMBER}'` or `--labels="NAME=TEXT"`"""
        )
    return DataNodes(
        cpus=sum(resources.get("CPU", 0.0) for resources in meeting),
        gpus=sum(resources.get("GPU", 0.0) for resources in meeting),
        tasks=sum(
            min((_fitting(resources[name], amount) for name, amount in amounts.items()), default=math.inf)
            for resources in meeting
        ),
    )


def place(
    config: TrainConfig,
    num_domains: int,
    cluster_cpus: float,
    cluster_gpus: float,
    smallest: int = 2,
    nodes: DataNodes | None = None,
) -> Placement:
    """Fit a run to a cluster: workers leave at least a CPU (half of them on a single one) to the data.

    On nodes that are the data tasks' own, all that workers could take there is left to them.

    An elastic group on CPUs takes every CPU that Ray counts as free, now and on nodes that come later. So its
    data tasks ask for none, for which they might wait for ever: they share what the workers run on.

    Raises:
        ValueError: the batch cannot be shared among so many workers, or there are not enough CPUs or GPUs;
            says which numbers would work.
    """
    fewest, most = config.worker_range
    for workers in (fewest, most):
        lane_rows(config.batch_size, workers, smallest)
    use_gpu = config.accelerator == "gpu" or (config.accelerator == "auto" and cluster_gpus >= 1)
    if use_gpu and cluster_gpus < fewest and config.accelerator == "auto":
        raise ValueError(
            f"workers={config.workers} and the cluster has {cluster_gpus:g} GPUs; use fewer workers, or "
            "accelerator=cpu, or accelerator=gpu to wait for a cluster that grows"
        )
    cpus_per_task = config.data_cpus_per_task or 1.0
    if config.accelerator == "gpu" and cluster_gpus < most:  # a cluster that grows
        return Placement(
            use_gpu=True,
            cpus_per_worker=config.cpus_per_worker or 1.0,
            cpus_per_task=cpus_per_task,
            cpus_per_domain=None,
        )
    if fewest < most and not (use_gpu or config.cpus_per_worker or config.data_cpus_per_task):
        spare = cluster_cpus - min(most, int(cluster_cpus))
        tasks = min(spare, nodes.tasks) if nodes is not None else spare
        return Placement(
            use_gpu=False,
            cpus_per_worker=1.0,
            cpus_per_task=0.0,
            cpus_per_domain=max(1.0, tasks // num_domains),
        )
    for_data = min(1.0, cluster_cpus / 2)
    cpus_per_worker = config.cpus_per_worker or min(1.0, _floor((cluster_cpus - for_data) / most))
    per_domain = _floor((cluster_cpus - most * cpus_per_worker) / num_domains)
    if nodes is not None:
        workers_there = min(most, nodes.gpus) if use_gpu else most
        per_domain = min(
            per_domain, nodes.cpus_for(num_domains, workers_there * cpus_per_worker, cpus_per_task)
        )
    if cpus_per_worker < 0.01 or per_domain < (config.data_cpus_per_task or 0.01):
        raise ValueError(
            f"workers={config.workers} of {cpus_per_worker:g} CPUs leave {per_domain:g} of the cluster's "
            f"{cluster_cpus:g} CPUs to the data tasks of a domain, which would starve; use fewer workers, or "
            f"a smaller cpus_per_worker or data_cpus_per_task{', or more data_resources' * bool(nodes)}"
        )
    return Placement(use_gpu, cpus_per_worker, min(cpus_per_task, per_domain), per_domain)


def _fitting(amount: float, part: float) -> float:
    """Return how many parts an amount holds; floats would make 9 of ten tenths."""
    return float(math.floor(amount / part + _ROUNDING))


def _floor(cpus: float) -> float:
    return math.floor(cpus * 100) / 100
