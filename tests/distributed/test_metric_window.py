"""Times and losses that are not finite, over several workers."""

from pathlib import Path

import torch

from charmnet.errors import NonFiniteLossError
from pipelines.training.metric_window import MetricWindow
from pipelines.training.work_time import WorkTime
from tests.process_group import run_group


def _worker(rank: int, folder: Path) -> None:
    window = MetricWindow(batch_size=4)
    good, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    # Worker 1 has the bad samples; worker 0 sees them only in what was averaged.
    losses = {"style": good if rank == 0 else bad, "total": bad, "grad_norm": bad}
    window.add(losses, [f"sample-of-{rank}"], 0.0)
    times = MetricWindow(4, WorkTime(torch.device("cpu")))
    times.restart()
    times.add({"total": good}, [], waited_seconds=0.5 * rank)
    times.close(1)
    (folder / f"times-{rank}.txt").write_text(str(times.timings))
    try:
        window.close(1)
    except NonFiniteLossError as error:
        (folder / f"{rank}.txt").write_text(str(error))


def test_all_know_the_times_of_each_and_blame_the_one_whose_samples_broke_a_loss(
    tmp_path: Path,
) -> None:
    run_group(_worker, tmp_path)
    times = {(tmp_path / f"times-{rank}.txt").read_text() for rank in range(2)}
    assert len(times) == 1
    assert "wait_seconds=(0.0, 0.5)" in times.pop()
    messages = {(tmp_path / f"{rank}.txt").read_text() for rank in range(2)}
    assert len(messages) == 1
    assert "grad_norm, style, total not finite at step 1, samples sample-of-1;" in messages.pop()
