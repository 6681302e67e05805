"""What of a step counts as a worker's own time."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from pipelines.training.work_time import WorkTime


def test_own_time_ends_with_the_first_forward_pass_of_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("pipelines.training.work_time.time.perf_counter", lambda: float(next(clock)))
    work = WorkTime(torch.device("cpu"))
    network = work.watch(nn.Identity())
    work.begin()  # at 0
    network(torch.zeros(1))  # at 1
    network(torch.zeros(1))  # no longer the first
    work.end_step()  # at 2
    next(clock), next(clock)
    network(torch.zeros(1))  # at 5
    work.end_step()
    work.end_step()  # a step without a forward pass that is seen, as in a recorded update
    assert work.close() == (1 + 3) / 2
    assert work.close() == 0.0
