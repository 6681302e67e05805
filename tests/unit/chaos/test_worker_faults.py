"""Faults that a worker makes."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from pipelines.chaos.worker_faults import WorkerFault, _break


def test_a_flip_changes_one_weight_by_little_whatever_its_strides() -> None:
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = network.weight.detach().clone()
    loop = SimpleNamespace(method=SimpleNamespace(modules={"generator": network}))
    _break(WorkerFault("flip", 0, 1, ""), loop, {})
    assert (network.weight != before).sum() == 1
    assert torch.allclose(network.weight, before, rtol=0.3)
