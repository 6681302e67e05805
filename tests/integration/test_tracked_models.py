"""Models in MLflow: logged in the background, registered, loaded without unpickling, built again exactly."""

from __future__ import annotations

from pathlib import Path

import mlflow.pytorch
import pytest
import torch

from charmnet.errors import StorageError
from charmnet.methods import CharmNetMethod
from charmnet.weights import load_checkpoint
from pipelines.tracking import RunIdentity, open_tracker
from pipelines.tracking.logged_models import log_model, resolve_model


@pytest.fixture(scope="module")
def method() -> CharmNetMethod:
    return CharmNetMethod(width=4, seed=0)


@pytest.fixture(scope="module")
def registered(mlflow_server: str, method: CharmNetMethod, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Register the method as `harmonizer`, version 1 and `champion`; the value is the server's address."""
    spool = tmp_path_factory.mktemp("spool")
    identity = RunIdentity(experiment="models", run_key="models", run_name="models")
    tracker = open_tracker(mlflow_server, identity, spool)
    tracker.log_metrics({"eval/mse": 30.0}, 7)
    log_model(
        tracker, method, "best", {"eval/mse": 30.0},
        metadata={"step": 7}, registered_name="harmonizer", aliases=["champion"],
    )  # fmt: skip
    assert tracker.close("FINISHED")
    return mlflow_server


def pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    composite = torch.randn(count, 3, 256, 256, generator=generator)
    return composite, (torch.rand(count, 1, 256, 256, generator=generator) > 0.7).float()


def test_a_registered_model_loads_without_unpickling(
    registered: str, method: CharmNetMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered)
    loaded = mlflow.pytorch.load_model("models:/harmonizer/1")
    for count in (1, 3):
        torch.testing.assert_close(loaded(*pairs(count)), method.harmonize(*pairs(count)))


def test_the_method_is_built_again_from_a_registered_model(
    registered: str, method: CharmNetMethod, tmp_path: Path
) -> None:
    by_alias = resolve_model("models:/harmonizer@champion", registered, tmp_path)
    assert resolve_model("models:/harmonizer/1", registered, tmp_path) == by_alias
    rebuilt, metadata = load_checkpoint(by_alias)
    assert metadata["step"] == 7
    torch.testing.assert_close(rebuilt.harmonize(*pairs(2)), method.harmonize(*pairs(2)), rtol=0, atol=0)
    with pytest.raises(StorageError, match="harmonizer/9"):
        resolve_model("models:/harmonizer/9", registered, tmp_path)


def test_the_best_model_is_found_by_its_metric(registered: str) -> None:
    client = mlflow.MlflowClient(registered)
    experiment = client.get_experiment_by_name("models")
    (best,) = client.search_logged_models([experiment.experiment_id], "metrics.`eval/mse` < 31")
    assert best.name == "best"
    version = client.get_model_version_by_alias("harmonizer", "champion")
    assert (int(version.version), version.source) == (1, f"models:/{best.model_id}")
    (run,) = client.search_runs([experiment.experiment_id])
    assert [model.model_id for model in run.outputs.model_outputs] == [best.model_id]
    assert len(client.get_metric_history(run.info.run_id, "eval/mse")) == 1
