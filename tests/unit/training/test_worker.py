"""A worker's place in its group."""

from __future__ import annotations

import pytest
import torch

from pipelines.training.worker import Worker


def test_a_worker_beside_a_gpu_leaves_the_cores_to_the_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16))
    threads = [
        Worker(0, workers, 0, workers, 0, torch.device(device)).num_threads
        for device, workers in (("cuda", 2), ("cpu", 2), ("cpu", 32))
    ]
    assert threads == [1, 8, 1]


def test_alone_a_worker_exchanges_nothing() -> None:
    worker = Worker(0, 1, 0, 1, 0, torch.device("cpu"))
    assert worker.any_of_group(condition=True)
    assert not worker.any_of_group(condition=False)
    assert worker.broadcast(("checkpoint", 3)) == ("checkpoint", 3)
    assert worker.gather({"pool": torch.ones(2)})[0]["pool"].tolist() == [1.0, 1.0]
