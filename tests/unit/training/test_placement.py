"""CPUs and GPUs of training workers and data tasks."""

import pytest

from pipelines.config.train_config import TrainConfig
from pipelines.training.placement import place


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (16, 4)])
def test_data_tasks_of_both_domains_always_fit_beside_the_workers(cpus: int, workers: int) -> None:
    placement = place(TrainConfig(workers=str(workers)), 2, cpus, 0)
    assert placement.cpus_per_domain is not None
    left = cpus - workers * placement.cpus_per_worker
    assert left >= 2 * placement.cpus_per_domain >= 2 * placement.cpus_per_task > 0


@pytest.mark.parametrize(("cpus", "tasks"), [(1, 1), (2, 1), (3, 1), (8, 2)])
def test_data_tasks_of_an_elastic_group_fit_whatever_its_workers_take(cpus: int, tasks: int) -> None:
    placement = place(TrainConfig(workers="1:4"), 2, cpus, 0)
    assert (placement.cpus_per_worker, placement.cpus_per_task) == (1, 0)
    assert placement.cpus_per_domain == tasks


def test_a_group_that_would_starve_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="leave 0 of the cluster's 2 CPUs to the data tasks of a domain"):
        place(TrainConfig(workers="2", cpus_per_worker=1.0), 2, 2, 0)


def test_gpus_are_taken_where_there_are_enough() -> None:
    assert place(TrainConfig(workers="2"), 2, 16, 2).use_gpu
    assert not place(TrainConfig(workers="2", accelerator="cpu"), 2, 16, 2).use_gpu
    waiting = place(TrainConfig(workers="2", accelerator="gpu"), 2, 2, 0)
    assert waiting.use_gpu
    assert waiting.cpus_per_domain is None
    assert place(TrainConfig(workers="2", accelerator="gpu"), 2, 16, 2).cpus_per_domain == 7
    with pytest.raises(ValueError, match="the cluster has 1 GPUs"):
        place(TrainConfig(workers="2"), 2, 16, 1)
