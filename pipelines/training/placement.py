"""Resources that a run asks of the cluster, so that data tasks and workers never starve each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.config.train_config import TrainConfig
from pipelines.ingest.lanes import lane_rows


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


def place(
    config: TrainConfig, num_domains: int, cluster_cpus: float, cluster_gpus: float, smallest: int = 2
) -> Placement:
    """Fit a run to a cluster: workers leave at least a CPU (half of them on a single one) to the data.

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
        return Placement(
            use_gpu=False,
            cpus_per_worker=1.0,
            cpus_per_task=0.0,
            cpus_per_domain=max(1.0, spare // num_domains),
        )
    for_data = min(1.0, cluster_cpus / 2)
    cpus_per_worker = config.cpus_per_worker or min(1.0, _floor((cluster_cpus - for_data) / most))
    per_domain = _floor((cluster_cpus - most * cpus_per_worker) / num_domains)
    if cpus_per_worker < 0.01 or per_domain < (config.data_cpus_per_task or 0.01):
        raise ValueError(
            f"workers={config.workers} of {cpus_per_worker:g} CPUs leave {per_domain:g} of the cluster's "
            f"{cluster_cpus:g} CPUs to the data tasks of a domain, which would starve; use fewer workers, or "
            "a smaller cpus_per_worker or data_cpus_per_task"
        )
    return Placement(use_gpu, cpus_per_worker, min(cpus_per_task, per_domain), per_domain)


def _floor(cpus: float) -> float:
    return math.floor(cpus * 100) / 100
