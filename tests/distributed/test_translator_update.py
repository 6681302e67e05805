"""Updates of translators over two real processes (gloo), of unequal shares, against the same in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from charmnet.methods import CUTMethod, CycleGANMethod, TranslationMethod, UNITMethod
from pipelines.training.parallel import data_parallel
from tests.process_group import run_group
from tests.unit.charmnet.test_translators import batches, small, weights

SHARES = ((0, 2), (2, 3))
CLASSES = {method.name: method for method in (CycleGANMethod, CUTMethod, UNITMethod)}


class SameNoise(UNITMethod):
    """UNIT with the same noise for every sample."""

    def _draw_noise(self, code: Tensor) -> Tensor:
        return super()._draw_noise(code[:1]).expand_as(code)


def updated(name: str, rank: int | None = None) -> TranslationMethod:
    """Return a method after two updates with a worker's share, or in one process with all samples."""
    method = small(name, SameNoise if name == "unit" else CLASSES[name])
    if rank is not None:
        method.distribute(data_parallel)
    first, last = SHARES[rank] if rank is not None else (0, 3)
    for step in range(2):
        torch.manual_seed(step)
        shares = {domain: batch.sliced(first, last) for domain, batch in batches(step, samples=3).items()}
        method.update(shares, gradient_weight=(last - first) * 2 / 3 if rank is not None else 1.0)
    return method


def work(rank: int, folder: Path) -> None:
    states = {name: weights(updated(name, rank)) for name in CLASSES}
    torch.save(states, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """Run the processes; the value has the weights of each, by method."""
    folder = tmp_path_factory.mktemp("workers")
    run_group(work, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", CLASSES)
def test_workers_update_as_one_does(workers: list[dict[str, dict[str, Tensor]]], name: str) -> None:
    first, second = (worker[name] for worker in workers)
    alone = weights(updated(name))
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key]), key
        if not key.endswith("bias"):  # an instance norm takes most away: Adam's steps are of rounding errors
            torch.testing.assert_close(tensor, alone[key], rtol=1e-6, atol=1e-8, msg=key)
