"""`charmnet quickstart` as a user runs it: in processes of its own, on the user's folders."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from charmnet.codecs import decode_rgb
from pipelines.commands import quickstart as quickstart_command
from pipelines.services.local import Services
from pipelines.services.service import is_healthy
from pipelines.tracking.server import connect
from tests.factories import make_iharmony4, make_rdharmony

# Two steps, whatever the time: what is under test is the way, not the training.
QUICKSTART = """
import sys
from pipelines.commands import cli
from pipelines.commands import quickstart
from pipelines.quickstart import photographs
quickstart.STEPS = (2, 2)
photographs.VIEWS = 2
sys.exit(cli.main(["quickstart", *sys.argv[1:]]))
"""

OF_ANOTHER_ACCOUNT = {
    "AWS_SESSION_TOKEN": "of-another-account",
    "AWS_PROFILE": "another-account",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}
"""What a user's shell may hold, and nothing listens there: the quickstart has servers of its own."""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    services = Services(tmp_path / "state")
    yield services
    services.tracking.stop(grace_seconds=1)
    services.store.stop(grace_seconds=1)


@pytest.fixture
def quickstart(services: Services) -> Callable[..., subprocess.CompletedProcess[str]]:
    prefixes = ("AWS_", "RAY_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    environment["CHARMNET_STATE"] = str(services.folder)
    environment |= OF_ANOTHER_ACCOUNT

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", QUICKSTART, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


def _process_ids(services: Services) -> list[int]:
    records = services.folder.glob("*/*.json")
    return [record["pid"] for path in records if "pid" in (record := json.loads(path.read_text()))]


def test_all_the_way_then_again_then_stop(
    tmp_path: Path, services: Services, quickstart: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    make_iharmony4(tmp_path / "real", photographs=8)
    lines = (tmp_path / "real/IHD_train.txt").read_text().splitlines(keepends=True)
    (tmp_path / "real/IHD_valid.txt").write_text("".join(lines[-2:]))  # a photograph's two composites
    (tmp_path / "real/IHD_train.txt").write_text("".join(lines[:-2]))
    make_rdharmony(tmp_path / "rendered", scenes=2)
    options = (
        *("--real", str(tmp_path / "real"), "--rendered", str(tmp_path / "rendered")),
        "--name",
        "mine",
    )

    first = quickstart(*options)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "$ charmnet train" in first.stdout
    assert "validate_splits=IHD_valid" in first.stdout  # which is not the one that is reported
    assert "4 unseen pictures" in first.stdout  # the lists' two test photographs, each twice
    assert f"{services.tracking.url}/#/experiments/" in first.stdout
    assert is_healthy(f"{services.tracking.url}/health")
    figures = json.loads((services.folder / "quickstart/mine/figures.json").read_text())
    assert figures["all"]["count"] == 4
    comparison = decode_rgb((services.folder / "quickstart/mine/comparison.jpg").read_bytes())
    assert comparison.shape == (5 * 150, 4 * 200, 3)  # four rows of four pictures, and an empty one
    client = connect(services.tracking.url)
    (experiment,) = client.search_experiments(filter_string="name = 'quickstart'")
    (run,) = client.search_runs([experiment.experiment_id], "tags.mlflow.runName = 'mine'")
    assert "images/comparison.jpg" in {file.path for file in client.list_artifacts(run.info.run_id, "images")}
    secret = services.store.environment()["AWS_SECRET_ACCESS_KEY"]
    assert secret not in first.stdout + first.stderr

    again = quickstart(*options)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "trained already, 2 steps" in again.stdout
    assert "$ charmnet train" not in again.stdout

    running = _process_ids(services)
    assert len(running) == 2
    assert quickstart("--stop").returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in running)


def test_its_own_photographs(
    tmp_path: Path, services: Services, quickstart: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    make_rdharmony(tmp_path / "rendered", scenes=2)
    done = quickstart("--rendered", str(tmp_path / "rendered"), "--name", "own")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--masks auto --views --layout photographs" in done.stdout
    assert "validate_splits=validation" in done.stdout
    folder = services.folder / "quickstart/own"
    figures = json.loads((folder / "figures.json").read_text())
    assert list(figures["split"]) == ["test"]
    assert "notes" not in figures["about"] or not figures["about"]["notes"]  # nothing was chosen by them
    assert len(list((folder / "examples/harmonized").glob("*.png"))) == min(10, figures["all"]["count"])
    assert decode_rgb((folder / "comparison.jpg").read_bytes()).shape[1] == 2 * 4 * 200


def test_a_folder_without_lists_is_explained(
    tmp_path: Path, quickstart: Callable[..., subprocess.CompletedProcess[str]], services: Services
) -> None:
    (tmp_path / "empty").mkdir()
    done = quickstart("--real", str(tmp_path / "empty"), "--rendered", str(tmp_path / "empty"))
    assert done.returncode == 1
    assert f"{tmp_path / 'empty'}: no list there; expected a file named *train*.txt" in done.stderr
    assert "Traceback" not in done.stderr
    assert not services.store.running()  # refused before anything was started


def test_a_cluster_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    with pytest.raises(ValueError, match="RAY_ADDRESS is set"):
        quickstart_command.run(argparse.Namespace(stop=False))
