"""An update over two real processes (gloo) against the same update in one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from charmnet.batch import HarmonizationBatch
from charmnet.losses import mean_over_workers, style_aggregation
from charmnet.methods import METHODS, Method, build_method
from charmnet.vocabulary import Domain

WORKERS = 2
BATCH = 5  # the first worker has three samples of each domain, the second two
STEPS = 3
# With the first margin only the second worker's own loss is above zero and the mean is below, with the second
# the mean is above too: taking the maximum on each worker is wrong both times.
MARGINS = (0.6, 0.9)
STYLE_SHARPNESS = (4.0, 1.0, 1.0, 1.0)


def global_batch(domain: Domain, start: int, stop: int) -> HarmonizationBatch:
    random = torch.Generator().manual_seed(len(domain))
    composite, ground_truth = torch.randn(2, BATCH, 3, 256, 256, generator=random, dtype=torch.float64)
    mask = (torch.rand(BATCH, 1, 256, 256, generator=random) > 0.7).double()
    composite_style = torch.rand(BATCH, 10, generator=random).double().softmax(1)
    ground_truth_style = torch.tensor([3, 7, 1, 9, 0])
    tensors = [composite, ground_truth, mask]
    if domain is Domain.RENDERED:
        tensors += [composite_style, ground_truth_style]
    return HarmonizationBatch(*(tensor[start:stop] for tensor in tensors))


def train(name: str, frozen: bool, start: int = 0, stop: int = BATCH, distributed: bool = False) -> tuple:
    """A method after some updates with a share of the batches, and the metrics of the last."""
    method = build_method(name, width=8, precision="float64", learning_rate=1e-3, seed=0)
    for module in method.modules.values():
        module.train(not frozen)
    if distributed:
        method.distribute(partial(DistributedDataParallel, forward_sync_buffers=False))
    batches = {domain: global_batch(domain, start, stop) for domain in method.domains}
    for _ in range(STEPS):
        metrics = method.update(batches, share=(stop - start) * WORKERS / BATCH if distributed else 1.0)
    return method, metrics


def margin_loss(margin: float, start: int = 0, stop: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """The margin loss of logits that one parameter scales, and its gradient."""
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(1)).double()
    after = scale * logits * torch.tensor(STYLE_SHARPNESS, dtype=torch.float64)[:, None]
    loss = style_aggregation(torch.zeros_like(logits)[start:stop], after[start:stop], margin)[1]
    return loss.detach(), torch.autograd.grad(loss, scale)[0]


def parameters(method: Method) -> dict[str, list[torch.Tensor]]:
    own = [p for module in method.modules.values() for p in module.parameters()]
    return {"values": [p.detach() for p in own], "gradients": [p.grad for p in own]}


def buffers(method: Method) -> list[torch.Tensor]:
    return [buffer.clone() for module in method.modules.values() for buffer in module.buffers()]


def report(name: str, share: dict[str, int]) -> dict[str, Any]:
    trained, _ = train(name, frozen=False, distributed=True, **share)
    own_buffers = buffers(trained)
    trained.synchronize_statistics()
    frozen, metrics = train(name, frozen=True, distributed=True, **share)
    weight = (share["stop"] - share["start"]) * WORKERS / BATCH
    return {
        "trained": parameters(trained),
        "own_buffers": own_buffers,
        "shared_buffers": buffers(trained),
        "frozen": parameters(frozen),
        "frozen_metrics": {key: mean_over_workers(weight * value) for key, value in metrics.items()},
    }


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORKERS)
    share = {"start": rank * 3, "stop": min(rank * 3 + 3, BATCH)}
    reports: dict[str, Any] = {name: report(name, share) for name in METHODS}
    margins = [margin_loss(margin, rank * 2, rank * 2 + 2) for margin in MARGINS]
    reports["margins"] = [(loss, mean_over_workers(gradient)) for loss, gradient in margins]
    torch.save(reports, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes saw."""
    folder = tmp_path_factory.mktemp("workers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        mp.spawn(work, args=(folder,), nprocs=WORKERS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORKERS)]


@pytest.mark.parametrize("name", METHODS)
def test_workers_stay_the_same_and_share_statistics_when_asked(workers: list, name: str) -> None:
    first, second = (worker[name] for worker in workers)
    for kind in ("values", "gradients"):
        pairs = zip(first["trained"][kind], second["trained"][kind], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), kind
    own = list(zip(first["own_buffers"], second["own_buffers"], strict=True))
    assert not all(torch.equal(a, b) for a, b in own)
    for merged, other, (a, b) in zip(first["shared_buffers"], second["shared_buffers"], own, strict=True):
        assert torch.equal(merged, other)
        torch.testing.assert_close(merged, (a + b) / 2 if merged.is_floating_point() else a)


@pytest.mark.parametrize("name", METHODS)
def test_two_workers_update_as_one_does(workers: list, name: str) -> None:
    """Batch norms are frozen, since their statistics are a worker's own; all else is linear in the shares."""
    worker = workers[0][name]
    alone, metrics = train(name, frozen=True)
    for kind, expected in parameters(alone).items():
        for got, value in zip(worker["frozen"][kind], expected, strict=True):
            torch.testing.assert_close(got, value, rtol=1e-7, atol=1e-10)
    for metric, value in metrics.items():
        torch.testing.assert_close(worker["frozen_metrics"][metric], value, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("index", range(len(MARGINS)))
def test_the_margin_is_taken_over_all_workers(workers: list, index: int) -> None:
    expected = margin_loss(MARGINS[index])
    halves = [margin_loss(MARGINS[index], 0, 2)[0], margin_loss(MARGINS[index], 2, 4)[0]]
    assert expected[0] != torch.stack(halves).mean(), "the halves do not tell the two ways apart"
    for worker in workers:
        torch.testing.assert_close(worker["margins"][index], expected)
