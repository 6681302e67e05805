"""Studies end to end: runs of `charmnet train` as processes of their own, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from pipelines.commands.cli import main
from pipelines.runtime.storage import Location
from pipelines.tracking.server import connect
from pipelines.tracking.study_runs import PARENT_TAG
from tests.study_data import study_photographs, study_scenes

ROWS = "real-only,charmnet"
TINY = """
base = "poster"
scales.mini.methods.idih.width = 4
scales.mini.methods.charmnet.width = 4
heads.affine.batch_size = 4
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    return


@pytest.fixture
def command(tmp_path: Path, ray_cluster: None, mlflow_server: str) -> list[str]:
    study_photographs(tmp_path / "real", 40)
    study_scenes(tmp_path / "rendered")
    (tmp_path / "tiny.toml").write_text(TINY)
    return [
        *("study", str(tmp_path / "tiny.toml"), "--real", str(tmp_path / "real"), "--novel", "car"),
        *("--rendered", str(tmp_path / "rendered"), "--scale", "mini", "--head", "affine", "--seeds", "1"),
        *("--only", ROWS, "--steps", "2", "--experiment", "study", "--parallel", "1"),
        *("--tracking", mlflow_server),
    ]


def rows(dest: Path) -> list[dict[str, Any]]:
    return json.loads((dest / "report" / "tables.json").read_text())["rows"]


@pytest.mark.timeout(1500)  # two studies and a cluster: minutes, where others compute more
def test_a_study_that_was_killed_ends_with_the_same_tables(
    command: list[str], tmp_path: Path, mlflow_server: str
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main([*command, "--only", "charmnet", "--dest", str(whole)]) == 0
    address = ray.get_runtime_context().gcs_address
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *command, "--dest", str(killed)],
        env={**os.environ, "RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("[charmnet-affine-s0] first step"):
                break
        process.send_signal(signal.SIGKILL)
    first = killed / "figures" / "real-only-affine-s0" / "own.parquet"
    written = first.stat().st_mtime_ns
    assert not (killed / "report").exists()
    assert main([*command, "--dest", str(killed)]) == 0
    assert first.stat().st_mtime_ns == written
    ours, undisturbed = ({row["name"]: row["figures"] for row in rows(dest)} for dest in (killed, whole))
    assert list(ours) == ["composite", "real-only-affine", "charmnet-affine"]
    assert all(ours.values())
    assert ours["composite"] == undisturbed["composite"]
    assert without_reference(ours["charmnet-affine"]) == without_reference(undisturbed["charmnet-affine"])
    check_tracking(mlflow_server)


def without_reference(figures: dict[str, Any]) -> dict[str, Any]:
    """Return a row's figures but those that compare it with another."""
    return {
        part: {name: figure for name, figure in of_part.items() if name != "fmse_difference"}
        for part, of_part in figures.items()
    }


def check_tracking(server: str) -> None:
    """Check that each study is a run with its training runs beneath, and the report among its files."""
    client = connect(server)
    experiment = client.get_experiment_by_name("study")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    beneath = {"whole": {"charmnet-affine-s0"}, "killed": {"real-only-affine-s0", "charmnet-affine-s0"}}
    for name, expected in beneath.items():
        parent = runs[name]
        assert parent.info.status == "FINISHED"
        files = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
        assert {"report/index.html", "report/tables.tex", "report/pictures.jpg"} <= files
        children = client.search_runs(
            [experiment.experiment_id], f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'"
        )
        assert {run.info.run_name for run in children} == expected


def test_a_row_that_fails_stands_in_the_table_and_stops_no_other(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dest = tmp_path / "dest"
    blocked = Location.of(dest) / "runs" / "real-only-affine-s0" / "something"
    blocked.write_bytes(b"no run")
    arguments = [argument.replace(ROWS, "real-only") for argument in command]
    assert main([*arguments, "--dest", str(dest), "--tracking", "none"]) == 1
    (row,) = (row for row in rows(dest) if row["name"] == "real-only-affine")
    assert "holds something that is no run" in row["failures"]["0"]
    assert "holds something that is no run" in (dest / "report" / "tables.md").read_text()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--only", "real-only,none"], "--only none: no such row"),
        (["--novel", "cow"], "has no such category; it has car, tree"),
        (["--scale", "giant"], "--scale giant: expected one of"),
        (["--seeds", "0"], "--seeds 0: expected 1 or more"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], changed: list[str], message: str
) -> None:
    dest = tmp_path / "dest"
    assert main([*command, "--dest", str(dest), *changed]) == 2
    assert message in capfd.readouterr().err
    assert not dest.exists()
