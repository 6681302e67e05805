"""Links to runs, and addresses of tracking servers."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from pipelines.runtime.redaction import redact
from pipelines.tracking import experiment_link, run_link
from pipelines.tracking.server import Credentials, split_credentials, usable_tracking_uri


def test_links_open_the_page_of_a_training_run_and_hold_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    uri = "https://user:p%40ssword-1@host:5000/"
    assert experiment_link(uri, "3") == "https://host:5000/#/experiments/3?workflowType=machine_learning"
    assert run_link(uri, "3", "ab") == (
        "https://host:5000/#/experiments/3/runs/ab/model-metrics?workflowType=machine_learning"
    )
    address, credentials = split_credentials(uri)
    assert (address, credentials) == ("https://host:5000/", Credentials("user", "p@ssword-1"))
    assert not os.environ["MLFLOW_TRACKING_PASSWORD"]
    assert "p@ssword-1" not in repr(credentials)
    assert credentials is not None
    credentials.export()
    assert redact("login failed for p@ssword-1 at " + uri) == "login failed for *** at https://***@host:5000/"


def test_a_database_comes_with_the_command_that_shows_it() -> None:
    command, _, then = run_link("sqlite:////home/my runs/mlflow.db", "3", "ab").partition("\n")
    words = ["mlflow", "ui", "--backend-store-uri", "sqlite:////home/my runs/mlflow.db", "--port", "5000"]
    assert shlex.split(command) == words
    page = "http://127.0.0.1:5000/#/experiments/3/runs/ab/model-metrics?workflowType=machine_learning"
    assert then.strip() == f"and then {page}"


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "mlruns", "file:///mlruns", "host:5000"])
def test_an_address_that_other_processes_read_differently_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="tracking URI"):
        split_credentials(uri)


def test_an_address_with_a_password_in_it_is_refused_without_the_password() -> None:
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as refusal:
        usable_tracking_uri("https://user:password-1@host:5000/")
    assert "https://host:5000/" in str(refusal.value)
    assert "password-1" not in str(refusal.value)


def test_a_database_that_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    assert usable_tracking_uri(uri := f"sqlite:///{tmp_path}/new/folder/mlflow.db?timeout=5") == uri
    assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["mlflow.db"]
    (tmp_path / "file").touch()
    for location in (tmp_path, tmp_path / "file" / "mlflow.db", Path("/proc/none/mlflow.db")):
        with pytest.raises(ValueError, match="where no database can be kept"):
            usable_tracking_uri(f"sqlite:///{location}")
