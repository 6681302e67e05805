"""CPUs and GPUs of training workers and data tasks."""

import math

import pytest

from pipelines.config.train_config import TrainConfig
from pipelines.training.placement import DataNodes, data_nodes, place


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


def node(cpus: float, *, gpus: float = 0, alive: bool = True, pool: str = "", **resources: float) -> dict:
    return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus, **resources}, "Labels": {"pool": pool}}


def test_data_nodes_are_those_that_have_what_is_asked_for() -> None:
    nodes = [
        node(2),
        node(8, decode=4),
        node(8, decode=0.5),
        node(8, alive=False, decode=9),
        node(4, pool="a"),
    ]
    assert data_nodes(TrainConfig(), nodes) is None
    assert data_nodes(TrainConfig(data_resources="decode=1"), nodes) == DataNodes(8, 0, 4)
    assert data_nodes(TrainConfig(data_resources="decode=0.25"), nodes) == DataNodes(16, 0, 18)
    assert data_nodes(TrainConfig(data_resources="decode=0.1"), [node(2, decode=1)]) == DataNodes(2, 0, 10)
    assert data_nodes(TrainConfig(data_resources="decode=0.1"), [node(2, decode=0.3)]) == DataNodes(2, 0, 3)
    assert data_nodes(TrainConfig(data_resources="pool=a"), nodes) == DataNodes(4, 0, math.inf)
    missing = TrainConfig(data_resources="decode=1, pool=a")
    with pytest.raises(ValueError, match=r"data_resources=decode=1, pool=a: no node of the cluster has that"):
        data_nodes(missing, nodes)
    assert data_nodes(missing.replaced(accelerator="gpu"), nodes) == DataNodes(0, 0, 0)  # one may come


def test_data_tasks_never_ask_for_more_than_their_nodes_have() -> None:
    gpus = TrainConfig(workers="2", data_resources="decode=1")
    assert place(gpus, 2, 40, 2, nodes=DataNodes(32, 0, math.inf)).cpus_per_domain == 16
    assert place(gpus, 2, 40, 2, nodes=DataNodes(32, 2, math.inf)).cpus_per_domain == 15
    assert place(gpus, 2, 40, 2, nodes=DataNodes(32, 0, 6)).cpus_per_domain == 3
    cpus = TrainConfig(workers="2", data_resources="decode=1")
    assert place(cpus, 2, 12, 0, nodes=DataNodes(8, 0, math.inf)).cpus_per_domain == 3
    elastic = TrainConfig(workers="1:4", data_resources="decode=1")
    assert place(elastic, 2, 12, 0, nodes=DataNodes(8, 0, 4)).cpus_per_domain == 2


@pytest.mark.parametrize("nodes", [DataNodes(2, 0, 1), DataNodes(2, 2, 8)])
def test_data_nodes_on_which_a_domain_would_starve_are_refused(nodes: DataNodes) -> None:
    config = TrainConfig(workers="2", data_resources="decode=1")
    with pytest.raises(ValueError, match="or more data_resources"):
        place(config, 2, 40, 2, nodes=nodes)
