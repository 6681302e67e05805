"""A method with a gradient penalty, an image pool and dropout under two real workers (gloo)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods.seeding import seed_update
from charmnet.vocabulary import Domain
from pipelines.training.parallel import data_parallel
from pipelines.training.worker import Worker
from tests.process_group import run_group
from tests.toy_methods import ToyHarmonizer

WORKERS, SAMPLES, STEPS, SIDE = 2, 4, 3, 16


def batch(step: int, start: int, stop: int) -> dict[Domain, HarmonizationBatch]:
    random = torch.Generator().manual_seed(step)
    composite, ground_truth = torch.rand(2, SAMPLES, 3, SIDE, SIDE, generator=random) * 2 - 1
    mask = torch.rand(SAMPLES, 1, SIDE, SIDE, generator=random)
    return {
        Domain.REAL: HarmonizationBatch(composite, ground_truth, mask)
        .to(dtype=torch.float64)
        .sliced(start, stop)
    }


def penalty_gradient(method: ToyHarmonizer, start: int, stop: int) -> torch.Tensor:
    """Return the gradient of the critic's mean and penalty at a worker's share of some pictures.

    The penalty alone has no gradient for the last bias, for which data parallelism would wait.
    """
    pictures = torch.randn(SAMPLES, 3, 4, 4, generator=torch.Generator().manual_seed(5))[start:stop].double()
    method.modules["critic"].zero_grad()
    method.modules["critic"].eval()  # else the power iteration of spectral norm goes on
    (method.criticize(pictures).mean() + method.gradient_penalty(pictures)).backward()
    method.modules["critic"].train()
    return torch.cat([p.grad.flatten() for p in method.modules["critic"].parameters() if p.grad is not None])


def work(rank: int, folder: Path) -> None:
    share = SAMPLES // WORKERS
    method = ToyHarmonizer(seed=1, penalty=1.0, precision="float64")
    method.distribute(data_parallel)
    gradient = penalty_gradient(method, rank * share, (rank + 1) * share)
    for step in range(STEPS):
        seed_update(7, step, rank)
        method.update(batch(step, rank * share, (rank + 1) * share))
    worker = Worker(rank, WORKERS, rank, WORKERS, 0, torch.device("cpu"))
    report = {
        "gradient": gradient,
        "parameters": [p.detach() for m in method.modules.values() for p in m.parameters()],
        "pools": [state["pool"] for state in worker.gather(method.extra_state())],
        "stop": worker.any_of_group(rank == 1),
    }
    torch.save(report, folder / f"{rank}.pt")


def test_two_workers_learn_alike_with_a_penalty_and_keep_their_own_pools(tmp_path: Path) -> None:
    run_group(work, tmp_path, WORKERS)
    reports: list[dict[str, Any]] = [torch.load(tmp_path / f"{rank}.pt") for rank in range(WORKERS)]
    alone = penalty_gradient(ToyHarmonizer(seed=1, penalty=1.0, precision="float64"), 0, SAMPLES)
    for report in reports:
        torch.testing.assert_close(report["gradient"], alone)
        assert report["stop"]
    for first, second in zip(*(report["parameters"] for report in reports), strict=True):
        assert torch.equal(first, second)
    for first, second in zip(*(report["pools"] for report in reports), strict=True):
        assert torch.equal(first, second), "both know both pools"
    assert not torch.equal(*reports[0]["pools"])
