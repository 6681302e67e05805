"""Parts of tracking that need no server: grids, links, addresses, and which drivers are gone."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from charmnet.arrays import UInt8Array
from pipelines.runtime.redaction import redact
from pipelines.runtime.retry import wait_until
from pipelines.tracking import SystemSampler, Tracker, experiment_link, run_link, sample_grid
from pipelines.tracking.drivers import DRIVER_TAG, HEARTBEAT_TAG, DriverProcess, driver_is_gone, driver_tags
from pipelines.tracking.server import Credentials, split_credentials, usable_tracking_uri


def test_a_grid_has_a_row_per_sample_and_a_column_per_picture() -> None:
    composite = np.full((64, 64, 3), 200, np.uint8)
    mask = np.full((64, 64), 7, np.uint8)
    grid = sample_grid([{"composite": composite, "mask": mask}, {"mask": mask}])
    assert grid.dtype == np.uint8
    assert grid.shape == (20 + 2 * (64 + 2), 2 * 64 + 2, 3)
    assert (grid[22:86, :64] == 200).all()
    assert (grid[22:86, 66:] == 7).all()
    assert (grid[88:, :64] == 255).all()
    assert (grid[:20] < 100).any()  # the names


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"prediction": np.zeros((8, 8), np.uint8)}],
        [{"composite": np.zeros((8, 8, 3), np.float32)}],
        [{"composite": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 9), np.uint8)}],
    ],
)
def test_a_grid_of_anything_else_is_refused(rows: list[dict[str, UInt8Array]]) -> None:
    with pytest.raises(ValueError, match="sample_grid takes"):
        sample_grid(rows)


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
    for place in (tmp_path, tmp_path / "file" / "mlflow.db", Path("/proc/none/mlflow.db")):
        with pytest.raises(ValueError, match="where no database can be kept"):
            usable_tracking_uri(f"sqlite:///{place}")


def tags_of(driver: DriverProcess, silent_seconds: float = 0.0) -> dict[str, str]:
    heartbeat = str(int(time.time() - silent_seconds))
    return {DRIVER_TAG: json.dumps(dataclasses.asdict(driver)), HEARTBEAT_TAG: heartbeat}


def test_a_driver_is_gone_when_its_process_is() -> None:
    here = DriverProcess.current()
    assert not driver_is_gone(driver_tags())
    assert not driver_is_gone(tags_of(here, silent_seconds=1e6))
    assert not driver_is_gone({})
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(child.pid).create_time()
    child.wait()
    assert driver_is_gone(tags_of(dataclasses.replace(here, pid=child.pid, started_seconds=started)))
    assert driver_is_gone(tags_of(dataclasses.replace(here, started_seconds=here.started_seconds - 60)))
    assert driver_is_gone(tags_of(dataclasses.replace(here, boot_id="an earlier one")))


def test_a_driver_elsewhere_is_gone_when_it_was_silent_for_long() -> None:
    elsewhere = dataclasses.replace(DriverProcess.current(), host="another-machine")
    assert not driver_is_gone(tags_of(elsewhere, silent_seconds=300))
    assert driver_is_gone(tags_of(elsewhere, silent_seconds=900))


class Recorder(Tracker):
    """Keeps the metrics that it is given."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        assert step is None
        self.metrics |= metrics


def test_the_sampler_names_the_node() -> None:
    recorder = Recorder()
    with SystemSampler(recorder, "node-0", interval_seconds=0.05):
        wait_until(lambda: recorder.metrics, 10, "nothing was sampled", poll_seconds=0.02)
    assert 0 < recorder.metrics["system/node-0/memory_percent"] < 100
    assert 0 <= recorder.metrics["system/node-0/cpu_percent"] <= 100
    assert recorder.metrics["system/node-0/network_sent_bytes_per_second"] >= 0


def test_a_worker_without_records_does_not_load_mlflow(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipelines.tracking import RunIdentity, open_tracker;"
        "identity = RunIdentity(experiment='experiment', run_key='key', run_name='name');"
        "tracker = open_tracker('http://127.0.0.1:9', identity, Path(sys.argv[1]), role='worker');"
        "assert tracker.close();"
        "assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_commands_and_the_driver_are_imported_without_mlflow() -> None:
    """MLflow takes more than a second to load: `--help`, and a run until its server is needed, go without."""
    script = (
        "import sys; import pipelines.commands.train, pipelines.commands.evaluate;"
        "import pipelines.commands.harmonize, pipelines.training.driver;"
        "assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
