"""`charmnet evaluate` as a user calls it: data in a real store, on a real Ray, tracked in a real MLflow."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

import pipelines.commands.evaluate
import pipelines.evaluation.datasets
import pipelines.evaluation.distributed
from charmnet.codecs import encode_jpeg, encode_png
from charmnet.methods import CharmNetMethod
from charmnet.metrics import Protocol
from charmnet.vocabulary import Domain
from charmnet.weights import save_checkpoint
from pipelines.commands.cli import main
from pipelines.config.train_config import TrainConfig
from pipelines.evaluation.datasets import score_dataset
from pipelines.evaluation.report import EvaluationReport
from pipelines.evaluation.scoring import Scoring, evaluate_images
from pipelines.runs.models import load_model, load_with_provenance
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import EVERYTHING, Selection
from pipelines.tracking import RunIdentity, open_tracker
from pipelines.tracking.logged_models import log_model
from tests.evaluation_images import evaluation_images
from tests.factories import make_iharmony4, photograph
from tests.fixtures.datasets import ShardedDatasets
from tests.fixtures.object_store import ObjectStoreForTests


@pytest.fixture(scope="module")
def model(s3: ObjectStoreForTests, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the folder of a run with one checkpoint to the store."""
    folder = tmp_path_factory.mktemp("run")
    method = CharmNetMethod(width=8, attention_bias=1.0, seed=0)
    save_checkpoint(folder / "checkpoint-000000001", method, {"step": 1})
    uri = f"{s3.prefix()}/run"
    Location.of(uri).upload_folder(folder)
    return uri


def test_figures_are_those_of_one_process_with_every_image_once(
    model: str,
    datasets: ShardedDatasets,
    mlflow_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    where = ["--json", str(tmp_path / "figures.json"), "--per-image", f"{model}/figures.parquet"]
    tracked = ["--tracking", mlflow_server, "--experiment", "evaluation", "--run-name", "first"]
    selected = ["--select", "split == 'IHD_test'"]
    assert main(["evaluate", "--model", model, "--data", datasets.real, *selected, *where, *tracked]) == 0

    dataset, selection = Dataset.open(datasets.real), Selection(selected[1])
    images = list(evaluation_images(dataset, selection))
    expected = EvaluationReport.over(evaluate_images(load_model(model), images)).to_json()
    figures = json.loads((tmp_path / "figures.json").read_text())
    about = figures.pop("about")
    assert (about["digest"], about["paste"]) == (dataset.manifest.digest, False)
    assert set(figures) == {"all", "split", "subset", "category", "foreground_ratio"}
    assert figures["all"]["count"] == 6
    for whose in ("composite", "harmonized"):
        assert figures["all"][whose] == pytest.approx(expected["all"][whose], rel=1e-3)
    assert set(figures["split"]) == {"IHD_test"}
    assert sum(group["count"] for group in figures["foreground_ratio"].values()) == 6

    (tmp_path / "figures.parquet").write_bytes((Location.of(model) / "figures.parquet").read_bytes())
    rows = pq.read_table(tmp_path / "figures.parquet").to_pylist()
    assert sorted(row["id"] for row in rows) == sorted(image.id for image in images)
    assert np.mean([row["harmonized_mse"] for row in rows]) == pytest.approx(
        figures["all"]["harmonized"]["mse"]
    )

    client = MlflowClient(mlflow_server)
    experiment = client.get_experiment_by_name("evaluation")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["paste"] == "False"
    assert run.data.metrics["eval/IHD_test/fmse"] == figures["all"]["harmonized"]["fmse"]
    assert run.data.metrics["eval/IHD_test/composite_fmse"] == figures["all"]["composite"]["fmse"]
    assert run.data.metrics["eval/IHD_test/mean_shift_mse"] == figures["all"]["mean_shift"]["mse"]
    ratio = figures["all"]["against_composite"]["harmonized"]["fmse_ratio"]
    assert run.data.metrics["eval/all/fmse_ratio"] == ratio["value"]
    assert ratio["low"] is None, "of a handful of photographs there is no interval"
    assert "eval/all/fmse_ratio_low" not in run.data.metrics
    output = capsys.readouterr().out
    assert "MLflow: " in output
    assert "HCOCO" in output
    assert "Monge-Kantorovitch" in output


@pytest.mark.parametrize("size", ["1024", "full"])
def test_larger_pictures_are_scored_as_in_one_process(
    model: str, datasets: ShardedDatasets, tmp_path: Path, size: str
) -> None:
    where = ["--json", str(tmp_path / "figures.json"), "--tracking", "none"]
    rules = ["--size", size, "--protocol", "pct_net", "--no-tricks", "--workers", "2"]
    rules += ["--compare", model]
    selected = ["--select", "split == 'IHD_test'"]
    assert main(["evaluate", "--model", model, "--data", datasets.real, *selected, *where, *rules]) == 0
    dataset = Dataset.open(datasets.real)
    scoring = Scoring(Protocol.PCT_NET, 1024 if size == "1024" else None, paste=True, tricks=False)
    images = list(evaluation_images(dataset, Selection(selected[1]), scoring.size, scoring.protocol))
    expected = EvaluationReport.over(evaluate_images(load_model(model), images, scoring)).to_json()
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["all"]["count"] == len(images) == 6
    assert figures["about"]["paste"] is True, "as `charmnet harmonize` does"
    assert "mean_shift" not in figures["all"]
    assert figures["all"]["against_other"]["fmse_ratio"]["value"] == pytest.approx(1)
    assert figures["all"]["against_other"]["better"]["value"] == 0
    for whose in ("composite", "harmonized"):
        assert figures["all"][whose] == pytest.approx(expected["all"][whose], rel=1e-3)


def test_a_registered_model_is_evaluated_by_its_name_with_notes_on_its_training(
    model: str,
    datasets: ShardedDatasets,
    mlflow_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    identity = RunIdentity(experiment="registered", run_key="key", run_name="training")
    tracker = open_tracker(mlflow_server, identity, tmp_path / "spool")
    config = TrainConfig(real_select="split == 'IHD_test'", validate_splits=("IHD_test",)).to_json()
    metadata = {"step": 1, "config": config, "metrics": {"eval/IHD_test/fmse": 1.0}}
    log_model(tracker, load_model(model), "best", {}, metadata=metadata, registered_name="scored")
    assert tracker.close("FINISHED")
    where = ["--tracking", mlflow_server, "--experiment", "registered", "--json", str(tmp_path / "f.json")]
    selected = ["--data", datasets.real, "--select", "split == 'IHD_test'", *where]
    assert main(["evaluate", "--model", "models:/scored/1", *selected]) == 0
    about = json.loads((tmp_path / "f.json").read_text())["about"]
    assert about["model"] == "models:/scored/1"
    chosen, trained = about["notes"]
    assert "was chosen by its error on the split IHD_test, and 6 of the 6 images" in chosen
    assert trained.startswith("models:/scored/1: the model was trained on 6 of the 6 images")
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Note: {chosen}" in printed
    assert f"Note: {trained}" in printed
    client = MlflowClient(mlflow_server)
    runs = client.search_runs([client.get_experiment_by_name("registered").experiment_id])
    assert [run.info.run_name for run in runs] == ["evaluate scored/1", "training"]
    assert runs[0].data.tags["notes"] == f"{chosen} {trained}"
    by_id = client.get_model_version("scored", "1").source
    provenance = load_with_provenance(by_id, mlflow_server)[1]
    assert (provenance.chosen_by, set(provenance.selections)) == (None, {Domain.REAL, Domain.RENDERED})


@pytest.mark.parametrize(
    "scoring", [Scoring(), Scoring(Protocol.RELEASED), Scoring(size=None, tricks=False)], ids=str
)
def test_few_images_have_the_same_figures_without_the_cluster(
    model: str, datasets: ShardedDatasets, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, method = Dataset.open(datasets.real), load_model(model)
    on_cluster = list(score_dataset(method, dataset, EVERYTHING, scoring))
    monkeypatch.setattr(pipelines.evaluation.datasets, "works_in_process", lambda small: small)
    monkeypatch.setattr(pipelines.evaluation.distributed, "connect", None)  # nothing may call it
    assert list(score_dataset(method, dataset, EVERYTHING, scoring)) == on_cluster
    assert len(on_cluster) == 24


def test_scenes_are_evaluated_as_all_their_ordered_pairs(model: str, datasets: ShardedDatasets) -> None:
    dataset, method = Dataset.open(datasets.rendered), load_model(model)
    results = list(score_dataset(method, dataset, EVERYTHING, Scoring(Protocol.RELEASED), workers=2))
    assert len(results) == len({result.id for result in results}) == 3 * 90
    again = list(score_dataset(method, dataset, EVERYTHING, Scoring(Protocol.RELEASED), workers=1))
    assert [result.id for result in again] == [result.id for result in results]
    assert [result.composite for result in again] == [result.composite for result in results]
    standard = list(score_dataset(method, dataset, EVERYTHING, Scoring(Protocol.STANDARD), workers=2))
    assert [result.id for result in standard] == [result.id for result in results]
    for whose in ("composite", "harmonized"):  # cutting down instead of rounding shows in every figure
        assert all(getattr(a, whose) != getattr(b, whose) for a, b in zip(standard, results, strict=True))


def test_figures_that_are_not_defined_are_null_and_counted_and_need_no_mlflow(
    model: str,
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(pipelines.commands.evaluate, "_TRACKING_SECONDS", 1.0)
    hcoco = tmp_path / "in" / "HCOCO"
    make_iharmony4(tmp_path / "in", photographs=2)
    (hcoco / "composite_images/c01_1_1.jpg").write_bytes((hcoco / "real_images/c01.jpg").read_bytes())
    large = photograph(np.random.default_rng(1), (600, 900))
    corner = np.zeros((600, 900), np.uint8)
    corner[0, 0] = 255  # between the pixels that 256x256 are made from
    (hcoco / "masks/c02_1.png").write_bytes(encode_png(corner))
    for name in ("real_images/c02", "composite_images/c02_1_1", "composite_images/c02_1_2"):
        (hcoco / f"{name}.jpg").write_bytes(encode_jpeg(large if "real" in name else large // 2))
    data, out = str(tmp_path / "data"), tmp_path / "new" / "figures.json"
    lists = ["--list", "IHD_train.txt", "--list", "IHD_test.txt"]
    assert main(["shard", "iharmony4", "--source", str(tmp_path / "in"), *lists, "--dest", data]) == 0

    command = ["evaluate", "--model", model, "--data", data, "--json", str(out)]
    command += ["--per-image", str(tmp_path / "figures.parquet"), "--tracking", "http://127.0.0.1:9"]
    assert main(command) == 0
    assert "did not reach MLflow" in capsys.readouterr().err
    undefined = json.loads(out.read_text())["all"]["undefined"]
    assert undefined == {"composite": {"fmse": 2, "psnr": 1}, "harmonized": {"fmse": 2, "psnr": 0}}
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "figures.parquet").to_pylist()}
    assert rows["HCOCO/c01_1_1"]["composite_psnr"] is None
    assert rows["HCOCO/c01_1_1"]["composite_mse"] == 0
    assert rows["HCOCO/c02_1_2"]["harmonized_fmse"] is None
    assert rows["HCOCO/c02_1_2"]["harmonized_mse"] > 0
    assert {path.name for path in out.parent.iterdir()} == {"figures.json"}


def test_bad_input_ends_with_a_message(
    model: str, datasets: ShardedDatasets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untracked = ["--tracking", "none"]
    nothing = ["--select", "split == 'IHD_human_test'"]
    assert main(["evaluate", "--model", model, "--data", datasets.real, *nothing, *untracked]) == 2
    assert "picks no image" in capsys.readouterr().err
    assert main(["evaluate", "--model", f"{model}/nowhere", "--data", datasets.real, *untracked]) == 1
    assert "no model there" in capsys.readouterr().err
    for wrong, message in (
        (["--workers", "0", *untracked], "expected 1 or more"),
        (["--json", str(tmp_path.parent), *untracked], "is a folder"),
        (["--tracking", "localhost:5000"], "expected http"),
    ):
        assert main(["evaluate", "--model", f"{model}/nowhere", "--data", datasets.real, *wrong]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    below_a_file = ["--json", str(tmp_path / "file" / "figures.json"), *untracked]
    assert main(["evaluate", "--model", f"{model}/nowhere", "--data", datasets.real, *below_a_file]) == 1
    assert "--json file://" in capsys.readouterr().err
    (tmp_path / "file").unlink()
    broken_model = _broken_model(tmp_path / "nan")
    assert main(["evaluate", "--model", broken_model, "--data", datasets.real, *untracked]) == 1
    assert "holds NaN" in capsys.readouterr().err
    broken = _with_a_broken_picture(datasets.real, tmp_path / "broken")
    assert main(["evaluate", "--model", model, "--data", str(broken), *untracked]) == 1
    message = capsys.readouterr().err
    assert "1 rows or row groups cannot be evaluated" in message
    assert "HCOCO" in message


def _broken_model(folder: Path) -> str:
    method = CharmNetMethod(width=8, seed=0)
    next(method.generator.get_submodule("real_dec").parameters()).data.fill_(float("nan"))
    save_checkpoint(folder, method, {"step": 1})
    return str(folder)


def _with_a_broken_picture(uri: str, folder: Path) -> Path:
    """Copy a data set and damage one composite of the copy."""
    Location.of(uri).download_folder(folder)
    shard = folder / Dataset.open(uri).manifest.shards[0].path
    sizes = [pq.ParquetFile(shard).metadata.row_group(0).num_rows]
    table = pq.read_table(shard)
    composites = table["composite"].to_pylist()
    composites[0] = composites[0][:200]
    index = table.schema.get_field_index("composite")
    damaged = table.set_column(index, table.schema.field("composite"), [composites])
    pq.write_table(damaged, shard, row_group_size=sizes[0])
    return folder
