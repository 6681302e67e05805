"""A run with rows that cannot be decoded, of which one kills the decoder, and with a worker killed."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from charmnet.weights import CHECKPOINT_FILE, MODEL_FILE, OPTIMIZER_FILE
from pipelines.chaos.poison import poisoned
from pipelines.cli import main
from pipelines.storage import Location
from pipelines.tracking.server import connect
from tests.planted import pair_rows, scene_rows, write_dataset


@pytest.fixture
def command(
    s3, ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """`charmnet train` of a name on 17 pairs, one cut short and one poisonous, and three scenes."""
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    data = Location.of(s3.prefix())
    pairs = pair_rows(17, size=(48, 64))
    pairs[5]["composite"] = pairs[5]["composite"][:-30]
    pairs[9]["composite"] = poisoned(pairs[9]["composite"])
    write_dataset(data / "real", pairs, 3)
    write_dataset(data / "rendered", scene_rows(3, size=(48, 64)), 1)
    uris = ("--real", str(data / "real"), "--rendered", str(data / "rendered"), "--storage", str(data))
    fields = ("--recipe", "debug", "pool_row_groups=2", "checkpoint_every=10", "validate_every=0")

    def train(name: str, workers: int, *more: str, tracking: str = "none") -> list[str]:
        named = ("--name", name, "--workers", str(workers), "--tracking", tracking)
        return ["train", *uris, *named, *fields, *more]

    return train


def kill_a_worker(checkpoint: Location) -> None:
    """Once a checkpoint stands, one of the processes that train is gone."""
    deadline = time.monotonic() + 240
    while not (checkpoint / CHECKPOINT_FILE).exists():
        assert time.monotonic() < deadline, "no checkpoint in four minutes"
        time.sleep(0.2)
    workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in p.name()]
    max(workers, key=lambda process: process.create_time()).send_signal(signal.SIGKILL)


def assert_same_weights(one: Location, other: Location, folder: Path) -> None:
    """To the bit, with Adam's state; running statistics, which training does not use, up to rounding."""
    first, second = ((place / CHECKPOINT_FILE).read_json()["files"] for place in (one, other))
    assert first[OPTIMIZER_FILE] == second[OPTIMIZER_FILE]
    for place, name in ((one, "one"), (other, "other")):
        place.download_folder(folder / name)
    model, expected = (load_file(folder / name / MODEL_FILE) for name in ("other", "one"))
    assert model.keys() == expected.keys()
    for name, tensor in expected.items():
        if "running_" in name:
            torch.testing.assert_close(model[name], tensor)
        else:
            assert torch.equal(model[name], tensor), name


def test_every_sample_counts_once_and_the_weights_are_the_same_whatever_dies(
    command: Callable[..., list[str]],
    mlflow_server: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = command("whole", 2, "steps=40", "max_quarantined=2")
    storage = Location.of(whole[whole.index("--storage") + 1])
    run, last = storage / "run", "checkpoint-000000040"
    assert main(whole) == 0

    assert main(command("run", 2, "steps=60", "max_quarantined=1", "--audit")) == 1
    strict = capsys.readouterr().err
    assert "2 samples of the real domain cannot be decoded, --max-quarantined allows 1" in strict
    assert "HCOCO/c05 (a picture with" in strict
    assert "HCOCO/c09 (decoding it ends the process (SIGSEGV))" in strict

    killer = threading.Thread(target=kill_a_worker, args=(run / "checkpoint-000000020",))
    killer.start()
    more = ("steps=40", "max_quarantined=2", "--audit")
    assert main(command("run", 2, *more, tracking=mlflow_server)) == 0
    killer.join()
    assert "2 samples could not be decoded; others stood for them" in capsys.readouterr().out
    assert_same_weights(storage / "whole" / last, run / last, tmp_path)
    client = connect(mlflow_server)
    (tracked,) = client.search_runs(
        [client.get_experiment_by_name("charmnet").experiment_id], f"tags.run_folder = '{run}'"
    )
    assert tracked.data.metrics["data/quarantined/real"] == 2

    assert main(command("run", 1, "steps=44", "max_quarantined=2", "--audit")) == 0
    assert main(["audit", str(run), "--json", str(tmp_path / "audit.json")]) == 0, capsys.readouterr().out
    report = json.loads((tmp_path / "audit.json").read_text())
    assert (
        len(report["attempts"]) >= 4
    )  # stopped at the limit, killed, and one more with another worker count
    assert report["steps"] == 44
    real, rendered = report["domains"]
    assert (real["epochs"], real["missing"], real["twice"]) == (11, 0, 0)
    assert real["substitutes"] >= 2 * 10  # of two samples in each finished epoch
    assert rendered["substitutes"] == 0


def test_a_shard_that_is_gone_ends_the_run_and_is_named_once(
    s3, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Location.of(s3.prefix())
    write_dataset(data / "rendered", scene_rows(2, size=(48, 64)), 1)
    (data / "rendered" / "part-00001.parquet").delete()
    storage = ("--rendered", str(data / "rendered"), "--storage", str(data / "runs"), "--tracking", "none")
    idih = ("--recipe", "debug", "--method", "idih", "idih_domain=rendered", "validate_every=0")
    assert main(["train", *storage, *idih, "storage_patience_seconds=2"]) == 1
    error = capsys.readouterr().err
    assert error.count("part-00001.parquet: the shard is gone") == 1
