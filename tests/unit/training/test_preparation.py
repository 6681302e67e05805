"""`charmnet train --dry-run` refuses what the run would, says what it would do, and does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.commands.cli import main
from pipelines.config.recipes import recipe
from pipelines.runs.run_folder import RUN_FILE, RunFolder
from tests.factories import make_iharmony4


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return a dry run on a small data set."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    make_iharmony4(tmp_path / "in", photographs=4)
    dest = str(tmp_path / "real")
    lists = ["--list", "IHD_train.txt"]
    assert main(["shard", "iharmony4", "--source", str(tmp_path / "in"), *lists, "--dest", dest]) == 0
    capsys.readouterr()
    options = ["--real", dest, "--storage", str(tmp_path / "runs"), "--name", "first", "--method", "idih"]
    return ["train", *options, "--recipe", "debug", "--tracking", "none", "--dry-run", "validate="]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(command) == 0
    output = capsys.readouterr().out
    real = (tmp_path / "real").as_uri()
    for part in (f"reads real: {real}: 6 samples", "runs/first: a new run", "records nothing"):
        assert part in output
    assert "steps of 4 pairs" in output
    assert main([*command[:-4], f"--tracking=sqlite:///{tmp_path}/new/mlflow.db", *command[-2:]]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_refuses_what_the_run_would_refuse(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "workers=3"]) == 2  # pairs of a batch that three workers cannot share
    assert "workers" in capsys.readouterr().err
    assert main([*command, "data_resources=decode=1"]) == 2
    assert "data_resources=decode=1: no node of the cluster has that" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").write_bytes(b"a file")
    assert main(command) == 1
    assert "cannot be written" in capsys.readouterr().err
    (tmp_path / "runs" / "first").unlink()
    folder = RunFolder.of(str(tmp_path / "runs"), "first")
    folder.claim("first", recipe("debug"), {"real": "other"})
    written = (tmp_path / "runs" / "first" / RUN_FILE).read_bytes()
    assert main(command) == 2
    assert "started differently" in capsys.readouterr().err
    assert (tmp_path / "runs" / "first" / RUN_FILE).read_bytes() == written
