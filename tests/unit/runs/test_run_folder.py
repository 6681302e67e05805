"""The folder of a run: its record and its best checkpoint."""

from pathlib import Path

import pytest

from charmnet.errors import StorageError
from charmnet.methods import IDIHMethod
from charmnet.weights import load_checkpoint, snapshot
from pipelines.config.train_config import TrainConfig
from pipelines.runs.run_folder import RunFolder


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
