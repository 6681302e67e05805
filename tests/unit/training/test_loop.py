"""Settings of a training worker's process."""

import pytest
import torch
import torch.multiprocessing

from pipelines.training.loop import threads_of_worker


def test_a_worker_beside_a_gpu_leaves_the_cores_to_the_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16))
    assert threads_of_worker(torch.device("cuda"), 2) == 1
    assert threads_of_worker(torch.device("cpu"), 2) == 8
    assert threads_of_worker(torch.device("cpu"), 32) == 1
