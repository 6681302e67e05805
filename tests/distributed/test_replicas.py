"""Workers whose weights are compared, over gloo."""

from __future__ import annotations

from pathlib import Path

import torch

from pipelines.training.replicas import ReplicaCheck, ReplicasDifferError
from pipelines.training.worker import Worker
from tests.process_group import run_group
from tests.toy_methods import ToyHarmonizer


def _worker(rank: int, folder: Path) -> None:
    torch.manual_seed(0)
    method = ToyHarmonizer()
    check = ReplicaCheck(Worker(rank, 2, rank, 2, 0, torch.device("cpu")), method)
    check.check(4)  # equal: nothing happens
    if rank == 1:
        next(method.modules["generator"].parameters()).detach().view(-1)[:1].view(torch.int32).bitwise_xor_(1)
    try:
        check.check(5)
    except ReplicasDifferError as error:
        (folder / f"{rank}.txt").write_text(str(error))


def test_the_last_bit_of_one_weight_stops_all_workers_at_the_same_step(tmp_path: Path) -> None:
    run_group(_worker, tmp_path)
    messages = {(tmp_path / f"{rank}.txt").read_text() for rank in range(2)}
    assert len(messages) == 1
    assert "at step 5: ranks 0, 1 differ, and none is in the majority in " in messages.pop()
