"""The pure parts of training: schedule, placement, lanes, the metric window and the run's folder."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from hypothesis import given
from hypothesis import strategies as st

from charmnet.errors import NonFiniteLossError, StorageError
from charmnet.methods import IDIHMethod
from charmnet.weights import load_checkpoint, snapshot
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.lanes import lane_rows
from pipelines.runs.run_folder import RunFolder
from pipelines.training.loop import threads_of_worker
from pipelines.training.metric_window import MetricWindow
from pipelines.training.placement import place
from pipelines.training.schedule import learning_rate_factor


def test_linear_decay_is_the_released_policy_with_steps_for_epochs() -> None:
    released = [1.0 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)]
    assert [learning_rate_factor("linear", step, 200) for step in range(200)] == released
    assert {learning_rate_factor("constant", step, 200) for step in range(200)} == {1.0}


@given(st.integers(2, 64), st.integers(1, 40))
def test_lanes_give_every_worker_at_least_two_pairs_in_every_step(batch_size: int, workers: int) -> None:
    try:
        rows = lane_rows(batch_size, workers)
    except ValueError:
        assert batch_size < 2 * workers or any(batch_size % d == 0 for d in range(2, batch_size))
        return
    assert batch_size % rows == 0
    lanes = batch_size // rows
    owners = [block % workers for block in range(10 * lanes)]
    for step in range(10):
        owned = owners[step * lanes : (step + 1) * lanes]
        assert all(owned.count(rank) * rows >= 2 for rank in range(workers))
    if batch_size % workers == 0:
        assert lanes == workers


def test_too_many_workers_are_refused_with_numbers_that_would_work() -> None:
    with pytest.raises(ValueError, match=r"batch_size=8 over 5 workers.*at most 4 workers or batch_size=10"):
        lane_rows(8, 5)


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


def test_the_window_averages_and_begins_anew() -> None:
    window = MetricWindow(batch_size=8)
    for value in (1.0, 3.0):
        window.add({"total": torch.tensor(value)}, ["a", "b"], waited_seconds=0.0)
    means = window.close(2)
    assert means["total"] == 2.0
    assert means["pairs_per_second"] > 0
    assert means["data_wait_fraction"] == 0.0
    assert window.close(2) == {}


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_samples() -> None:
    window = MetricWindow(batch_size=2)
    window.add({"style": torch.tensor(1.0), "total": torch.tensor(1.0)}, ["fine"], 0.0)
    window.add({"style": torch.tensor(float("nan")), "total": torch.tensor(1.0)}, ["c1_1_1", "s:3"], 0.0)
    window.add({"style": torch.tensor(1.0), "total": torch.tensor(1.0)}, ["later"], 0.0)
    with pytest.raises(NonFiniteLossError, match=r"style not finite at step 12, samples c1_1_1, s:3;"):
        window.close(13)


def test_a_run_is_claimed_once_and_refuses_what_would_mix_two(tmp_path: Path) -> None:
    folder = RunFolder.of(str(tmp_path), "run")
    record = folder.claim("run", TrainConfig(), {"real": "d1"})
    assert folder.claim("run", TrainConfig(steps=5, workers="2"), {"real": "d1"}) == record
    with pytest.raises(ValueError, match=r"seed: 0 -> 3; the real data: d1 -> d2"):
        folder.claim("run", TrainConfig(seed=3), {"real": "d2"})


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(StorageError, match="no run; choose another --name"):
        RunFolder.of(str(tmp_path), "photos").claim("photos", TrainConfig(), {})


def test_the_best_replaces_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder.of(str(tmp_path / "storage"), "run")
    for step, value in ((100, 5.0), (200, 4.0)):
        folder.save_best(snapshot(IDIHMethod(width=4, seed=step), {"step": step}), step, "eval/x/fmse", value)
    best = folder.best()
    assert best == {
        "checkpoint": "best/checkpoint-000000200",
        "step": 200,
        "metric": "eval/x/fmse",
        "value": 4.0,
    }
    assert load_checkpoint(tmp_path / "storage/run" / best["checkpoint"])[1] == {"step": 200}
    assert not (folder.location / "best/checkpoint-000000100").exists()


def _blamed(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    window = MetricWindow(batch_size=4)
    good, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    # Worker 1 has the bad samples; worker 0 sees them only in what was averaged.
    losses = {"style": good if rank == 0 else bad, "total": bad, "grad_norm": bad}
    window.add(losses, [f"sample-of-{rank}"], 0.0)
    try:
        window.close(1)
    except NonFiniteLossError as error:
        (folder / f"{rank}.txt").write_text(str(error))
    dist.destroy_process_group()


def test_all_workers_blame_the_one_whose_samples_broke_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(_blamed, args=(tmp_path,), nprocs=2)
    messages = {(tmp_path / f"{rank}.txt").read_text() for rank in range(2)}
    assert len(messages) == 1
    assert "grad_norm, style, total not finite at step 1, samples sample-of-1;" in messages.pop()


def test_a_worker_beside_a_gpu_leaves_the_cores_to_the_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16))
    assert threads_of_worker(torch.device("cuda"), 2) == 1
    assert threads_of_worker(torch.device("cpu"), 2) == 8
    assert threads_of_worker(torch.device("cpu"), 32) == 1
