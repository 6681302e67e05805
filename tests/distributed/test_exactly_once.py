"""A run with rows that cannot be decoded, of which one kills the decoder, and with a worker killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.chaos.poison import deadly_decoder, poisoned
from pipelines.cli import main
from pipelines.storage import Location
from tests.planted import pair_rows, scene_rows, write_dataset


@pytest.fixture
def command(s3, tmp_path: Path) -> list[str]:
    """`charmnet train` on 17 pairs, of which one is cut short and one poisonous, and three scenes."""
    data = Location.of(s3.prefix())
    pairs = pair_rows(17, size=(48, 64))
    pairs[5]["composite"] = pairs[5]["composite"][:-30]
    pairs[9]["composite"] = poisoned(pairs[9]["composite"])
    write_dataset(data / "real", pairs, 3)
    write_dataset(data / "rendered", scene_rows(3, size=(48, 64)), 1)
    uris = ("--real", str(data / "real"), "--rendered", str(data / "rendered"), "--storage", str(data))
    named = ("--name", "run", "--recipe", "debug", "--tracking", "none", "--audit")
    fields = ("pool_row_groups=2", "checkpoint_every=10", "validate_every=0")
    return [sys.executable, "-m", "pipelines.train", *uris, *named, *fields]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    deadly_decoder(tmp_path / "hook")
    state = {"CHARMNET_STATE": str(tmp_path / "state"), "PYTHONPATH": str(tmp_path / "hook")}
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")} | state


def kill_a_worker(driver: int, checkpoint: Location) -> None:
    """Once a checkpoint stands, one of the processes that train is gone."""
    deadline = time.monotonic() + 240
    while not checkpoint.exists():
        assert time.monotonic() < deadline, "no checkpoint in four minutes"
        time.sleep(0.2)
    workers = [p for p in psutil.Process(driver).children(recursive=True) if "RayTrainWorker" in p.name()]
    workers[-1].send_signal(signal.SIGKILL)


def test_every_sample_counts_once_whatever_dies(
    command: list[str], environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Location.of(command[command.index("--storage") + 1]) / "run"
    strict = subprocess.run(
        [*command, "steps=60", "max_quarantined=1"], env=environment, capture_output=True, text=True
    )
    assert strict.returncode == 1, strict.stderr
    assert "2 samples of the real domain cannot be decoded, --max-quarantined allows 1" in strict.stderr
    assert "HCOCO/c05 (a picture with" in strict.stderr
    assert "HCOCO/c09 (decoding it ends the process (SIGSEGV))" in strict.stderr

    more = ("steps=40", "max_quarantined=2", "--workers", "2")
    with subprocess.Popen([*command, *more], env=environment, stdout=subprocess.PIPE, text=True) as driver:
        kill_a_worker(driver.pid, run / "checkpoint-000000020")
        output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    assert "2 samples could not be decoded; others stood for them" in output

    assert main(["audit", str(run), "--json", str(tmp_path / "audit.json")]) == 0, capsys.readouterr().out
    report = json.loads((tmp_path / "audit.json").read_text())
    assert len(report["attempts"]) >= 3  # stopped at the limit, then killed
    assert report["steps"] == 40
    real, rendered = report["domains"]
    assert (real["epochs"], real["missing"], real["twice"]) == (10, 0, 0)
    assert real["substitutes"] >= 2 * 9  # of two samples in each finished epoch
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
