"""Training end to end: real workers, a real object store, a real MLflow server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors.torch import load_file

from charmnet.weights import load_checkpoint
from pipelines.commands.cli import main
from pipelines.runs.checkpoints import registered_checkpoints
from pipelines.runtime.storage import Location
from pipelines.services.local import TrackingServer
from pipelines.tracking.server import connect
from tests.fixtures.datasets import ShardedDatasets
from tests.fixtures.object_store import ObjectStoreForTests

TINY = ("pool_row_groups=2",)


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARMNET_STATE", str(tmp_path_factory.mktemp("state")))
        yield


def arguments(datasets: ShardedDatasets, storage: str, name: str, *more: str) -> list[str]:
    return [
        "train",
        *("--real", datasets.real, "--rendered", datasets.rendered, "--storage", storage, "--name", name),
        *("--recipe", "debug", *TINY, "real_select=split == 'IHD_train'", *more),
    ]


def finished_run(client: MlflowClient, name: str) -> Run:
    experiment = client.get_experiment_by_name("charmnet")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.mlflow.runName = '{name}'")
    assert run.info.status == "FINISHED"
    return run


def points(client: MlflowClient, run: Run, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]


def final_weights(run: Location, step: int, folder: Path) -> dict[str, torch.Tensor]:
    (run / f"checkpoint-{step:09d}").download_folder(folder)
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def frail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """Start a server that a test may stop and start."""
    server = TrackingServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop(grace_seconds=1)


@pytest.fixture(scope="module")
def command(
    datasets: ShardedDatasets, s3: ObjectStoreForTests, frail_server: TrackingServer
) -> Callable[..., list[str]]:
    """`charmnet train` of a name; its runs differ in nothing else and share a storage."""
    storage, workers = s3.prefix(), ("--workers", "2")
    validated = ("validate=IHD_test", "--tracking", frail_server.url)
    return lambda name, *more: arguments(datasets, storage, name, *workers, *validated, *more)


@pytest.fixture(scope="module")
def whole(command: Callable[..., list[str]]) -> Location:
    """Train an undisturbed run; the value is its folder."""
    arguments = command("whole", "--register", "tiny", "--profile", "4:5")
    assert main(arguments) == 0
    return Location.of(arguments[arguments.index("--storage") + 1]) / "whole"


def test_a_run_logs_its_windows_and_validations(whole: Location, frail_server: TrackingServer) -> None:
    client = connect(frail_server.url)
    run = finished_run(client, "whole")
    assert [step for step, _ in points(client, run, "loss/total")] == [2, 3, 4, 6]
    assert [step for step, _ in points(client, run, "eval/IHD_test/fmse")] == [0, 3, 6]
    assert "eval/IHD_test/composite_fmse" in run.data.metrics
    (trace,) = client.list_artifacts(run.info.run_id, "profile")
    assert trace.path == "profile/steps-000000004-000000005.json.gz"
    assert trace.file_size > 10_000


def test_a_run_that_was_cut_in_two_with_its_server_away_ends_as_one_that_was_not(
    whole: Location,
    command: Callable[..., list[str]],
    frail_server: TrackingServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frail_server.stop(grace_seconds=1)
    assert main(command("parts", "steps=3")) == 0
    frail_server.start()
    assert main(command("parts", "seed=1")) == 2
    assert "seed: 0 -> 1" in capsys.readouterr().err
    assert main(command("parts")) == 0

    weights = [final_weights(whole.parent / name, 6, tmp_path / name) for name in ("whole", "parts")]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name

    client = connect(frail_server.url)
    runs = [finished_run(client, name) for name in ("whole", "parts")]
    for metric in ("loss/total", "eval/IHD_test/fmse"):
        assert points(client, runs[0], metric) == points(client, runs[1], metric)


def test_a_run_leaves_what_it_was_made_of(
    datasets: ShardedDatasets, s3: ObjectStoreForTests, mlflow_server: str, tmp_path: Path
) -> None:
    storage, name = s3.prefix(), "first of März"
    more = ("validate=IHD_test", "--tracking", mlflow_server, "--register", "tiny", "schedule=linear")
    kept = ("steps=4", "checkpoint_every=1", "keep_checkpoints=2", "precision=bf16")
    assert main(arguments(datasets, storage, name, *more, *kept)) == 0
    client = connect(mlflow_server)
    run = finished_run(client, name)
    folder = Location.of(storage) / name

    assert run.data.tags["run_folder"] == str(folder)
    assert run.data.tags["ray_job_id"]
    assert f"charmnet evaluate --model '{folder}'" in run.data.tags["mlflow.note.content"]
    assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {"real", "rendered"}
    files = {file.path for file in client.list_artifacts(run.info.run_id, "config")}
    assert files == {"config/config.json", "config/config.toml", "config/environment.json"}
    assert client.list_artifacts(run.info.run_id, "images")
    assert client.get_model_version_by_alias("tiny", "best").version == "1"

    names = registered_checkpoints(folder)
    assert names == ["checkpoint-000000003", "checkpoint-000000004"]
    logged = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    addresses = sorted(model.tags["checkpoint_uri"] for model in logged if "checkpoint_uri" in model.tags)
    assert addresses == [f"{folder}/{name}" for name in names]
    assert sum(model.tags.get("checkpoint_state") == "removed" for model in logged) == 2
    assert (folder / "best.json").read_json()["metric"] == "eval/IHD_test/fmse"
    (folder / names[0]).download_folder(tmp_path / "checkpoint")
    method, metadata = load_checkpoint(tmp_path / "checkpoint")
    assert metadata["step"] == 3
    assert metadata["mlflow_run_id"] == run.info.run_id
    assert metadata["config"]["schedule"] == "linear"
    rates = dict(points(client, run, "optim/lr"))
    assert rates[2] > rates[4] > 0
    assert method.name == "charmnet"


def test_idih_trains_on_either_domain_and_warm_starts_charmnet(
    datasets: ShardedDatasets,
    s3: ObjectStoreForTests,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
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
    datasets: ShardedDatasets, s3: ObjectStoreForTests, capsys: pytest.CaptureFixture[str]
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
        (["validate=IHD_tset"], r"validate_splits=IHD_tset: --real has no such split; it has IHD_test"),
        (["rendered_select=category == 'cow'"], r"picks nothing"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    datasets: ShardedDatasets,
    s3: ObjectStoreForTests,
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = s3.prefix()
    assert main(arguments(datasets, storage, "run", "--tracking", "none", *more)) == 2
    assert message in capsys.readouterr().err
    assert Location.of(storage).children() == []
