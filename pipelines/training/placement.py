"""What a run asks of the cluster, so that data tasks and workers never starve each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.config import TrainConfig
from pipelines.ingest.lanes import lane_rows


@dataclass(frozen=True)
class Placement:
    """
    Attributes:
        use_gpu: whether each worker takes a GPU.
        cpus_per_worker, cpus_per_task: set aside for a training worker and for a data task.
    """

    use_gpu: bool
    cpus_per_worker: float
    cpus_per_task: float


def place(config: TrainConfig, num_domains: int, cluster_cpus: float, cluster_gpus: float) -> Placement:
    """Fits a run to a cluster: workers leave at least a CPU (half of them on a single one) to the data.

    Raises:
        ValueError: the batch cannot be shared among so many workers, or there are not enough CPUs or GPUs;
            says which numbers would work.
    """
    fewest, most = config.worker_range
    for workers in (fewest, most):
        lane_rows(config.batch_size, workers)
    use_gpu = config.accelerator == "gpu" or (config.accelerator == "auto" and cluster_gpus >= 1)
    if use_gpu and cluster_gpus < fewest and config.accelerator == "auto":
        raise ValueError(
            f"workers={config.workers} and the cluster has {cluster_gpus:g} GPUs; use fewer workers, or "
            "accelerator=cpu, or accelerator=gpu to wait for a cluster that grows"
        )
    if use_gpu or not cluster_cpus:
        return Placement(use_gpu, config.cpus_per_worker or 1.0, config.data_cpus_per_task or 1.0)
    for_data = min(1.0, cluster_cpus / 2)
    cpus_per_worker = config.cpus_per_worker or min(1.0, _floor((cluster_cpus - for_data) / most))
    free = cluster_cpus - most * cpus_per_worker
    if cpus_per_worker < 0.01 or free <= 0:
        raise ValueError(
            f"workers={config.workers} of {cpus_per_worker:g} CPUs leave {free:g} of the cluster's "
            f"{cluster_cpus:g} CPUs to the data tasks, which would starve; use fewer workers or a smaller "
            "cpus_per_worker"
        )
    return Placement(
        False, cpus_per_worker, config.data_cpus_per_task or min(1.0, _floor(free / num_domains))
    )


def _floor(cpus: float) -> float:
    return math.floor(cpus * 100) / 100
