"""Training end to end: real workers, a real object store, a real MLflow server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipelines.cli import main
from pipelines.storage import Location
from pipelines.tracking.server import connect
from tests.fixtures.datasets import ShardedDatasets

TINY = ("pool_row_groups=2",)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))


def arguments(datasets: ShardedDatasets, storage: str, name: str, *more: str) -> list[str]:
    return [
        "train",
        *("--real", datasets.real, "--rendered", datasets.rendered, "--storage", storage, "--name", name),
        *("--recipe", "debug", *TINY, "real_select=split == 'IHD_train'", *more),
    ]


def final_weights(storage: str, name: str, step: int, folder: Path) -> dict[str, torch.Tensor]:
    (Location.of(storage) / name / f"checkpoint-{step:09d}").download_folder(folder)
    return load_file(folder / "model.safetensors")


def test_a_run_with_two_workers_is_tracked_and_resumed(
    datasets: ShardedDatasets, s3, mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    storage = s3.prefix()
    more = ("validate=IHD_test", "--workers", "2", "--register", "tiny")
    assert main(arguments(datasets, storage, "run", *more)) == 0
    client = connect(mlflow_server)
    experiment = client.get_experiment_by_name("charmnet")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    losses = client.get_metric_history(run.info.run_id, "loss/total")
    assert [point.step for point in losses] == [2, 3, 4, 6]
    scores = client.get_metric_history(run.info.run_id, "eval/IHD_test/fmse")
    assert [point.step for point in scores] == [3, 6]
    assert "eval/IHD_test/composite_fmse" in run.data.metrics
    assert client.list_artifacts(run.info.run_id, "config")
    assert client.get_model_version_by_alias("tiny", "best").version == "1"
    folder = Location.of(storage) / "run"
    assert [child.name for child in folder.children() if child.name.startswith("checkpoint-")] == [
        "checkpoint-000000003",
        "checkpoint-000000006",
    ]
    assert (folder / "best.json").read_json()["metric"] == "eval/IHD_test/fmse"

    assert main(arguments(datasets, storage, "run", *more, "seed=1")) == 2
    assert "seed: 0 -> 1" in capsys.readouterr().err

    assert main(arguments(datasets, storage, "run", *more, "steps=8")) == 0
    (run,) = client.search_runs([experiment.experiment_id])
    losses = client.get_metric_history(run.info.run_id, "loss/total")
    assert [point.step for point in losses] == [2, 3, 4, 6, 8]


def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights(
    datasets: ShardedDatasets, s3, tmp_path: Path
) -> None:
    storage = s3.prefix()
    none = ("--tracking", "none", "--workers", "2", "schedule=constant")
    assert main(arguments(datasets, storage, "whole", *none, "steps=5")) == 0
    assert main(arguments(datasets, storage, "parts", *none, "steps=3")) == 0
    assert main(arguments(datasets, storage, "parts", *none, "steps=5")) == 0
    whole = final_weights(storage, "whole", 5, tmp_path / "whole")
    parts = final_weights(storage, "parts", 5, tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_idih_trains_on_either_domain_and_warm_starts_charmnet(
    datasets: ShardedDatasets, s3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    none = ("--tracking", "none", "steps=2", "checkpoint_every=0")
    monkeypatch.chdir(tmp_path)
    idih = [
        "train",
        "--rendered",
        datasets.rendered,
        "--storage",
        "runs",
        "--name",
        "idih",
        "--recipe",
        "debug",
    ]
    assert main([*idih, "--method", "idih", "idih_domain=rendered", *none]) == 0
    assert main(arguments(datasets, "runs", "warm", *none, "--init", "runs/idih", "--workers", "1:2")) == 0
    assert main(arguments(datasets, "runs", "wide", *none, "--init", "runs/idih", "width=16")) == 1
    assert "block0" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "wide").exists()


def test_a_run_that_diverges_ends_at_once_names_its_samples_and_saves_nothing(
    datasets: ShardedDatasets, s3, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = s3.prefix()
    more = ("--tracking", "none", "--workers", "2", "learning_rate=1e30", "log_every=1")
    assert main(arguments(datasets, storage, "run", *more)) == 1
    message = capsys.readouterr().err
    assert "not finite at step" in message
    assert "HCOCO/" in message
    names = [child.name for child in (Location.of(storage) / "run").children()]
    assert not [name for name in names if name.startswith("checkpoint-")]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--workers", "3"], r"batch_size=4 over 3 workers"),
        (["validate=IHD_tset"], r"validate=IHD_tset: --real has no such split; it has IHD_test, IHD_train"),
        (["rendered_select=category == 'cow'"], r"picks nothing"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    datasets: ShardedDatasets, s3, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = s3.prefix()
    assert main(arguments(datasets, storage, "run", "--tracking", "none", *more)) == 2
    assert message in capsys.readouterr().err
    assert Location.of(storage).children() == []
