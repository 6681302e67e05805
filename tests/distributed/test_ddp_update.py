"""An update over three real processes (gloo), of unequal shares, against the same update in one."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from charmnet.batch import HarmonizationBatch
from charmnet.losses import mean_over_workers, style_aggregation
from charmnet.methods import Method
from charmnet.networks.batch_norm import statistics_names
from charmnet.vocabulary import Domain
from pipelines.training.parallel import data_parallel
from tests.method_variants import VARIANTS, build_variant, cut
from tests.process_group import run_group

SHARES = list(pairwise((0, 4, 6, 8)))  # as lanes of two are dealt to three workers
WORKERS, BATCH = len(SHARES), SHARES[-1][1]
# With the first margin only the second worker's own loss is above zero and the mean is below, with the second
# the mean is above too: taking the maximum on each worker is wrong both times.
MARGINS = (0.6, 0.9)
MARGIN_SHARES = list(pairwise((0, 2, 3, 4)))
STYLE_SHARPNESS = (4.0, 1.0, 1.0, 1.0)


def global_batch(domain: Domain, start: int, stop: int) -> HarmonizationBatch:
    random = torch.Generator().manual_seed(len(domain))
    composite, ground_truth = torch.randn(2, BATCH, 3, 256, 256, generator=random, dtype=torch.float64)
    mask = (torch.rand(BATCH, 1, 256, 256, generator=random) > 0.7).double()
    composite_style = torch.rand(BATCH, 10, generator=random).double().softmax(1)
    ground_truth_style = torch.tensor([3, 7, 1, 9, 0, 2, 5, 8])
    tensors = [composite, ground_truth, mask]
    if domain is Domain.RENDERED:
        tensors += [composite_style, ground_truth_style]
    return HarmonizationBatch(*(tensor[start:stop] for tensor in tensors))


def made(name: str, mode: str, rank: int | None, state: dict[str, Any] | None = None) -> Method:
    """Build a method as a worker has it.

    Args:
        mode: `live` batch norms, `frozen` ones, or those `over_workers`.
        rank: None is one process with all samples. state: to go on from, as from a checkpoint.
    """
    method = build_variant(name, width=4, precision="float64", learning_rate=1e-3, seed=0)
    if state is not None:
        method.load_state_dict(state)
    for module in method.modules.values():
        module.train(mode != "frozen")
    if rank is not None:
        method.distribute(data_parallel)
        if mode == "over_workers":
            method.normalize_over_workers()
    return method


def update(method: Method, rank: int | None) -> dict[str, torch.Tensor]:
    """One with a worker's share of the batches, and its metrics."""
    first, last = (0, BATCH) if rank is None else SHARES[rank]
    batches = {domain: global_batch(domain, first, last) for domain in method.domains}
    batches = cut(batches, method.name, method.domains)
    return method.update(batches, gradient_weight=weight(rank, SHARES))


def weight(rank: int | None, shares: list[tuple[int, int]]) -> float:
    """Return a worker's number of samples, divided by the mean over workers."""
    return 1.0 if rank is None else (shares[rank][1] - shares[rank][0]) * len(shares) / shares[-1][1]


def margin_loss(margin: float, rank: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the margin loss of logits that one parameter scales, and its weighted gradient."""
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(1)).double()
    after = scale * logits * torch.tensor(STYLE_SHARPNESS, dtype=torch.float64)[:, None]
    own = slice(None) if rank is None else slice(*MARGIN_SHARES[rank])
    share = weight(rank, MARGIN_SHARES)
    loss = style_aggregation(torch.zeros_like(logits)[own], after[own], margin, share)[1]
    return loss.detach(), share * torch.autograd.grad(loss, scale)[0]


def parameters(method: Method) -> dict[str, list[torch.Tensor]]:
    own = [p for module in method.modules.values() for p in module.parameters()]
    with_gradient = [p.grad for p in own if p.grad is not None]  # a loss of weight 0 reaches no parameter
    return {"values": [p.detach() for p in own], "gradients": with_gradient}


def spectral_vectors(method: Method) -> list[torch.Tensor]:
    named = (entry for module in method.modules.values() for entry in module.named_buffers())
    return [vector.clone() for name, vector in named if name.endswith(("weight_u", "weight_v"))]


def has_statistics(method: Method) -> bool:
    return any(statistics_names(module) for module in method.modules.values())


def buffers(method: Method) -> list[torch.Tensor]:
    return [buffer.clone() for module in method.modules.values() for buffer in module.buffers()]


def report(name: str, rank: int) -> dict[str, Any]:
    trained = made(name, "live", rank)
    update(trained, rank)
    resumed = made(name, "live", rank, deepcopy(trained.state_dict()))
    for method in (trained, resumed):
        update(method, rank)
    report: dict[str, Any] = {
        "trained": parameters(trained),
        "own_buffers": buffers(trained),
        "spectral_vectors": spectral_vectors(trained),
        "has_statistics": has_statistics(trained),
        "resumed": parameters(resumed),
    }
    trained.synchronize_statistics()
    report["shared_buffers"] = buffers(trained)
    for mode in ("frozen", "over_workers"):
        method = made(name, mode, rank)
        metrics = update(method, rank)
        means = {key: mean_over_workers(weight(rank, SHARES) * value) for key, value in metrics.items()}
        report[mode] = {**parameters(method), "buffers": buffers(method), "metrics": means}
    return report


def work(rank: int, folder: Path) -> None:
    reports: dict[str, Any] = {name: report(name, rank) for name in VARIANTS}
    margins = [margin_loss(margin, rank) for margin in MARGINS]
    reports["margins"] = [(loss, mean_over_workers(gradient)) for loss, gradient in margins]
    dist.destroy_process_group()
    reports["own_margins"] = [margin_loss(margin, rank)[0] for margin in MARGINS]  # as if it were alone
    torch.save(reports, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run the processes; the value has the report of each."""
    folder = tmp_path_factory.mktemp("workers")
    run_group(work, folder, WORKERS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORKERS)]


@pytest.mark.parametrize("name", VARIANTS)
def test_workers_stay_the_same_and_share_statistics_when_asked(workers: list, name: str) -> None:
    reports = [worker[name] for worker in workers]
    for kind in ("values", "gradients"):
        for tensors in zip(*(report["trained"][kind] for report in reports), strict=True):
            assert all(torch.equal(tensors[0], other) for other in tensors[1:]), kind
    own = list(zip(*(report["own_buffers"] for report in reports), strict=True))
    for vectors in zip(*(report["spectral_vectors"] for report in reports), strict=True):
        assert all(torch.equal(vectors[0], other) for other in vectors[1:]), "alike everywhere"
    if reports[0]["has_statistics"]:
        assert not all(torch.equal(first, second) for first, second, _ in own)
    for merged, other, parts in zip(*(r["shared_buffers"] for r in reports[:2]), own, strict=True):
        assert torch.equal(merged, other)
        expected = torch.stack(parts).mean(0) if merged.is_floating_point() else parts[0]
        torch.testing.assert_close(merged, expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_group_that_is_started_again_adds_up_in_the_same_order(workers: list, name: str) -> None:
    report = workers[0][name]
    for kind in ("values", "gradients"):
        for went_on, resumed in zip(report["trained"][kind], report["resumed"][kind], strict=True):
            assert torch.equal(went_on, resumed), kind


@pytest.mark.parametrize("mode", ["frozen", "over_workers"])
@pytest.mark.parametrize("name", VARIANTS)
def test_workers_update_as_one_does(workers: list, name: str, mode: str) -> None:
    """Batch norms are frozen or use the global batch's statistics; all else is linear in the parts."""
    report = workers[0][name][mode]
    alone = made(name, mode, None)
    metrics = update(alone, None)
    # Adam makes steps of rounding errors: gradients of biases before a live batch norm are nothing else.
    for kind, least in (("values", 1e-8), ("gradients", 1e-10)):
        for got, value in zip(report[kind], parameters(alone)[kind], strict=True):
            torch.testing.assert_close(got, value, rtol=1e-7, atol=least)
    for got, value in zip(report["buffers"], buffers(alone), strict=True):
        torch.testing.assert_close(got, value, rtol=1e-8, atol=1e-10)
    for metric, value in metrics.items():
        torch.testing.assert_close(report["metrics"][metric], value, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("index", range(len(MARGINS)))
def test_the_margin_is_taken_over_all_workers(workers: list, index: int) -> None:
    expected = margin_loss(MARGINS[index])
    own = [worker["own_margins"][index] for worker in workers]
    apart = torch.stack([weight(rank, MARGIN_SHARES) * loss for rank, loss in enumerate(own)]).mean()
    assert expected[0] != apart, "the shares do not tell the two ways apart"
    for worker in workers:
        torch.testing.assert_close(worker["margins"][index], expected)
