"""The tracker with a real MLflow server that answers."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from pathlib import Path
from threading import Event

import cv2
import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModel

from pipelines.tracking.spool import Spool, SpoolEntry
from tests.fixtures.tracked_runs import expected, log_steps, open_run, points, the_run


def test_driver_and_workers_share_one_run_over_restarts(mlflow_server: str, key: str, tmp_path: Path) -> None:
    worker = open_run(mlflow_server, key, tmp_path / "worker", role="worker")
    log_steps(worker, 1, 20)
    driver = open_run(mlflow_server, key, tmp_path / "driver")
    assert worker.close(timeout_seconds=60)
    assert the_run(mlflow_server, key).info.status == "RUNNING"
    again = open_run(mlflow_server, key, tmp_path / "worker", role="worker", resume_step=20)
    log_steps(again, 21, 40)
    assert again.close()
    assert driver.close("FAILED")
    assert the_run(mlflow_server, key).info.status == "FAILED"
    driver = open_run(mlflow_server, key, tmp_path / "driver")
    driver.log_params({"recipe": "small"})
    assert driver.close("FINISHED")
    run = the_run(mlflow_server, key)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"run {key}"
    assert run.data.tags["mlflow.user"]
    assert run.data.params == {"recipe": "small"}
    assert points(mlflow_server, key) == expected(1, 40)
    assert points(mlflow_server, key, "tracker/dropped") == [(20, 0.0), (40, 0.0)]


def test_what_has_to_be_done_before_sending_keeps_nobody_waiting(
    mlflow_server: str, key: str, tmp_path: Path
) -> None:
    begun, may_end = Event(), Event()

    def first() -> None:
        begun.set()
        assert may_end.wait(60)

    tracker = open_run(mlflow_server, key, tmp_path / "driver", before_first_send=first)
    log_steps(tracker, 1, 3)
    assert begun.wait(60)
    assert tracker.run_id is None
    may_end.set()
    assert tracker.close("FINISHED")
    assert points(mlflow_server, key) == expected(1, 3)


def test_what_comes_while_the_spool_was_found_empty_is_sent_too(
    mlflow_server: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last entries, and the end, come after a read and before what follows from it."""
    read, found_nothing = Spool.read, Event()

    def slowly(spool: Spool, most: int) -> list[SpoolEntry]:
        entries = read(spool, most)
        if not entries and not found_nothing.is_set():
            found_nothing.set()
            time.sleep(1)
        return entries

    monkeypatch.setattr(Spool, "read", slowly)
    tracker = open_run(mlflow_server, key, tmp_path / "driver")
    assert found_nothing.wait(60)
    log_steps(tracker, 1, 3)
    assert tracker.close("FINISHED", timeout_seconds=60)
    assert points(mlflow_server, key) == expected(1, 3)


def test_everything_that_is_logged_arrives(mlflow_server: str, key: str, tmp_path: Path) -> None:
    tracker = open_run(mlflow_server, key, tmp_path / "spool")
    image = np.random.default_rng(0).integers(0, 256, (40, 120, 3), np.uint8)
    config = tmp_path / "config.json"
    config.write_text('{"steps": 400}')
    tracker.set_tags({"git_commit": "0123abc", "steps": 3})
    tracker.log_image(image, "samples/HCOCO", 5)
    tracker.log_file(config, artifact_path="config/config.json")
    tracker.log_text("torch==2", artifact_path="environment.txt")
    digest = "ab" * 32
    tracker.log_dataset("s3://bucket/real", name="real", digest=digest, context="training")
    tracker.log_metrics({"eval/psnr": float("nan")}, 5)
    tracker.log_metrics({"system/node-0/cpu_percent": 12.5}, None)
    assert tracker.close("FINISHED")

    client, run = mlflow.MlflowClient(mlflow_server), the_run(mlflow_server, key)
    assert (
        run.data.tags.items()
        >= {"git_commit": "0123abc", "steps": "3", "mlflow.loggedImages": "True"}.items()
    )
    names = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    assert sorted(Path(name).suffix for name in names) == [".png", ".webp"]
    assert all(name.startswith("images/samples~HCOCO+step+5+timestamp+") for name in names)
    png = next(name for name in names if name.endswith(".png"))
    downloaded = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert np.array_equal(cv2.imread(str(downloaded / png))[:, :, ::-1], image)
    assert (downloaded / "config" / "config.json").read_text() == '{"steps": 400}'
    assert (downloaded / "environment.txt").read_text() == "torch==2"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("real", digest[:36])
    assert {tag.key: tag.value for tag in dataset.tags} == {
        "mlflow.data.context": "training",
        "sha256": digest,
    }
    assert np.isnan(points(mlflow_server, key, "eval/psnr")[0][1])
    assert points(mlflow_server, key, "system/node-0/cpu_percent")[0][0] == pytest.approx(time.time(), abs=60)


def test_what_the_server_refuses_is_isolated_and_counted(
    mlflow_server: str, key: str, tmp_path: Path
) -> None:
    tracker = open_run(mlflow_server, key, tmp_path / "spool")
    tracker.log_params({"recipe": "small"})
    log_steps(tracker, 1, 20)
    tracker.log_metrics({"not a name!": 1.0, "loss/total": 21.0}, 21)
    tracker.log_metrics({"loss/total": "no number"}, 22)  # type: ignore[dict-item]
    tracker.log_image(np.zeros((3, 8, 8), np.float32), "samples/x", 22)
    tracker.log_params({"recipe": "released", "steps": 400})
    log_steps(tracker, 23, 30)
    assert tracker.close("FINISHED")
    assert points(mlflow_server, key) == expected(1, 21) + expected(23, 30)
    assert the_run(mlflow_server, key).data.params == {"recipe": "small", "steps": "400"}
    assert json.loads((tmp_path / "spool" / "spool.json").read_text())["dropped"] == 4


def test_an_entry_without_its_fields_holds_up_no_other(mlflow_server: str, key: str, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for op in ("metrics", "image", "no such kind"):
        spool.append({"op": op})
    spool.close()
    tracker = open_run(mlflow_server, key, tmp_path / "spool")
    log_steps(tracker, 1, 3)
    assert tracker.close("FINISHED")
    assert points(mlflow_server, key) == expected(1, 3)
    assert json.loads((tmp_path / "spool" / "spool.json").read_text())["dropped"] == 3


def test_steps_that_are_taken_again_do_not_double(mlflow_server: str, key: str, tmp_path: Path) -> None:
    """A node is lost with what it had not sent; the run goes on elsewhere from its checkpoint at step 50."""
    tracker = open_run(mlflow_server, key, tmp_path / "lost")
    picture = np.zeros((8, 16, 3), np.uint8)
    log_steps(tracker, 1, 50)
    pending = tracker.pending()
    log_steps(tracker, 51, 80)
    tracker.log_metrics({"eval/mse": 9.0}, 80)
    tracker.log_image(picture, "samples/x", 80)
    tracker.log_checkpoint("s3://bucket/run/checkpoint_000080", 80, {"eval/mse": 9.0})
    assert tracker.close()
    shutil.rmtree(tmp_path / "lost")

    tracker = open_run(mlflow_server, key, tmp_path / "elsewhere", pending=pending, resume_step=50)
    log_steps(tracker, 51, 100, factor=1.5)
    tracker.log_metrics({"eval/mse": 8.0}, 80)
    tracker.log_image(picture + 255, "samples/x", 80)
    tracker.log_checkpoint("s3://bucket/run/checkpoint_000080", 80, {"eval/mse": 8.0})
    assert tracker.close("FINISHED")

    assert [step for step, _ in points(mlflow_server, key)] == list(range(1, 101))
    assert points(mlflow_server, key, "eval/mse") == [(80, 9.0)]
    client, run = mlflow.MlflowClient(mlflow_server), the_run(mlflow_server, key)
    assert run.data.tags["charmnet.rerun_steps"] == "51-80"
    (png,) = [f.path for f in client.list_artifacts(run.info.run_id, "images") if f.path.endswith(".png")]
    assert cv2.imread(client.download_artifacts(run.info.run_id, png, str(tmp_path))).min() == 255
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    assert model.tags["checkpoint_uri"] == "s3://bucket/run/checkpoint_000080"
    (logged,) = client.search_logged_models(
        [run.info.experiment_id], f"metrics.`eval/mse` > 8.5 AND source_run_id = '{run.info.run_id}'"
    )
    assert logged.model_id == model.model_id


def test_a_checkpoint_that_was_removed_has_no_address_any_more(
    mlflow_server: str, key: str, tmp_path: Path
) -> None:
    uris = {step: f"s3://bucket/run/checkpoint-{step:09d}" for step in (10, 20, 30)}

    def models(state: str) -> list[LoggedModel]:
        run = the_run(mlflow_server, key)
        return mlflow.MlflowClient(mlflow_server).search_logged_models(
            [run.info.experiment_id],
            f"source_run_id = '{run.info.run_id}' AND tags.checkpoint_state = '{state}'",
        )

    def stored() -> list[str]:
        return sorted(model.tags["checkpoint_uri"] for model in models("stored"))

    tracker = open_run(mlflow_server, key, tmp_path / "spool")
    for step, uri in uris.items():
        tracker.log_checkpoint(uri, step, {"eval/mse": float(step)})
    tracker.log_kept_checkpoints([uris[20], uris[30]], 30)
    tracker.log_kept_checkpoints([uris[10], uris[20]], 20)  # late, from a spool that was left behind
    assert tracker.close()
    assert stored() == [uris[20], uris[30]]
    (removed,) = models("removed")
    assert removed.name == "checkpoint-000000010"
    assert "checkpoint_uri" not in removed.tags
    assert [metric.value for metric in removed.metrics] == [10.0]

    tracker = open_run(mlflow_server, key, tmp_path / "spool")
    tracker.log_checkpoint(uris[10], 10, {"eval/mse": 10.0})  # its step was taken again
    assert tracker.close("FINISHED")
    assert stored() == list(uris.values())
    assert models("removed") == []


def test_secrets_do_not_show(
    mlflow_server: str,
    key: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    password, aws_secret = "planted-password-1", "planted/secret+2"
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws_secret)
    caplog.set_level(logging.DEBUG)
    uri = mlflow_server.replace("://", f"://someone:{password}@")
    text = f"{uri} and {aws_secret}"
    (tmp_path / "config.json").write_text(text)
    tracker = open_run(uri, key, tmp_path / "spool")
    tracker.log_params({"tracking": text})
    tracker.set_tags({"tracking": text})
    tracker.log_file(tmp_path / "config.json", artifact_path="config.json")
    tracker.log_text(text, artifact_path="environment.txt")
    tracker.log_dataset(text, name="real", digest="0" * 64, context="training")
    assert tracker.close("FINISHED")
    dead = open_run(f"http://someone:{password}@127.0.0.1:9", key, tmp_path / "dead")
    assert not dead.close("FAILED", timeout_seconds=2)

    run = the_run(mlflow_server, key)
    (tmp_path / "downloaded").mkdir()
    folder = mlflow.MlflowClient(mlflow_server).download_artifacts(
        run.info.run_id, "", str(tmp_path / "downloaded")
    )
    spooled = [file for name in ("spool", "dead") for file in (tmp_path / name).rglob("*") if file.is_file()]
    texts = [file.read_text() for file in [*Path(folder).rglob("*.*"), *spooled]]
    assert len(texts) > 4
    for secret in (password, aws_secret):
        assert secret not in str(run.to_dictionary()) + str(run.inputs.to_dictionary())
        assert secret not in caplog.text
        assert not any(secret in one for one in texts)
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == password
