"""The tracker behind a slow line: a run ends before its files have arrived, and they arrive later, once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModel

from pipelines.chaos.store_proxy import Behaviour, StoreProxy
from pipelines.runtime.retry import wait_until
from pipelines.tracking import close_orphans, send_unsent
from pipelines.tracking.file_sender import JOURNAL_NAME
from pipelines.tracking.spool_pair import FILES_FOLDER
from tests.fixtures.tracked_runs import EXPERIMENT, expected, log_steps, open_run, points, the_run

SLOW = Behaviour(bytes_per_second=60_000)
LARGE_BYTES = 600_000


class Line(StoreProxy):
    """A line that keeps what was asked for over it."""

    def __init__(self, server_url: str) -> None:
        super().__init__(server_url, own_host=True)
        self.asked: list[str] = []

    async def _pass_on(
        self, head: bytes, client: asyncio.StreamReader, answers: asyncio.StreamWriter
    ) -> None:
        self.asked.append(head.split(b" HTTP/")[0].decode())
        await super()._pass_on(head, client, answers)

    def uploads(self, name: str) -> int:
        return sum(asked.startswith("PUT ") and asked.endswith(f"/{name}") for asked in self.asked)

    def cut(self) -> None:
        """End all connections, as the end of a process does."""
        self.behave(Behaviour(down=True))
        self.behave(SLOW)


@pytest.fixture
def line(mlflow_server: str) -> Iterator[Line]:
    line = Line(mlflow_server)
    line.start()
    yield line
    line.stop()


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "weights").write_bytes(np.random.default_rng(0).bytes(LARGE_BYTES))
    (folder / "MLmodel").write_bytes(b"small")
    return folder


def the_model(uri: str, key: str) -> LoggedModel:
    run = the_run(uri, key).info
    found = mlflow.MlflowClient(uri).search_logged_models(
        [run.experiment_id], f"source_run_id = '{run.run_id}'"
    )
    (model,) = found
    return model


def test_a_run_ends_before_its_model_has_arrived_and_the_next_command_goes_on_with_it(
    line: Line, mlflow_server: str, key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "spools" / "driver"
    tracker = open_run(line.url, key, spool)
    wait_until(lambda: tracker.run_id, 60, "the run has not begun", poll_seconds=0.05)
    line.behave(SLOW)
    tracker.log_model_folder(model_folder(tmp_path / "model"), name="best", step=3, metrics={"eval/mse": 2.0})
    wait_until(lambda: line.uploads("weights"), 30, "the upload has not begun", poll_seconds=0.05)
    log_steps(tracker, 1, 3)
    assert not tracker.close("FINISHED", timeout_seconds=4)
    assert "its files are still on their way" in caplog.text
    line.cut()
    assert the_run(mlflow_server, key).info.status == "FINISHED"
    assert points(mlflow_server, key) == expected(1, 3)
    assert str(the_model(mlflow_server, key).status) == "PENDING"

    started = time.monotonic()
    found = send_unsent(tmp_path / "spools", line.url, wait_for_files=False)
    assert time.monotonic() - started < LARGE_BYTES / SLOW.bytes_per_second / 2, (
        "the command waited for files"
    )
    assert (found.on_their_way, found.kept, found.message) == ([spool], [], None)
    wait_until(lambda: line.uploads("weights") == 2, 10, "the upload does not go on", poll_seconds=0.05)
    assert send_unsent(tmp_path / "spools", line.url, wait_for_files=False).on_their_way == []
    assert close_orphans(mlflow_server, EXPERIMENT, unsent=found.kept_run_keys) == []
    wait_until(lambda: not spool.exists(), 60, "the files did not arrive", poll_seconds=0.2)

    model = the_model(mlflow_server, key)
    assert (str(model.status), model.name) == ("READY", "best")
    assert [(metric.key, metric.value) for metric in model.metrics or []] == [("eval/mse", 2.0)]
    (tmp_path / "fetched").mkdir()
    fetched = mlflow.artifacts.download_artifacts(
        model.artifact_location, dst_path=str(tmp_path / "fetched"), tracking_uri=mlflow_server
    )
    weights = Path(fetched) / "weights"
    assert weights.read_bytes() == np.random.default_rng(0).bytes(LARGE_BYTES)
    assert (line.uploads("MLmodel"), line.uploads("weights")) == (1, 2)
    assert the_run(mlflow_server, key).info.status == "FINISHED"


def test_a_file_that_takes_longer_than_the_silence_allowed_is_given_longer_and_arrives(
    line: Line, mlflow_server: str, key: str, tmp_path: Path
) -> None:
    """Buffers between here and the server take a file at once, and nothing is heard while they send it."""
    journal = tmp_path / "spool" / FILES_FOLDER / JOURNAL_NAME
    journal.parent.mkdir(parents=True)
    journal.write_text(json.dumps({"silence_seconds": 1.0}))
    tracker = open_run(line.url, key, tmp_path / "spool")
    wait_until(lambda: tracker.run_id, 60, "the run has not begun", poll_seconds=0.05)
    line.behave(Behaviour(bytes_per_second=200_000))
    text = "\n".join(str(number) for number in range(70_000))
    tracker.log_text(text, artifact_path="log.txt")
    assert tracker.close("FINISHED", timeout_seconds=60)
    assert 1 < line.uploads("log.txt") < 4
    assert json.loads(journal.read_text())["silence_seconds"] in (2.0, 4.0)
    run_id = the_run(mlflow_server, key).info.run_id
    arrived = mlflow.MlflowClient(mlflow_server).download_artifacts(run_id, "log.txt", str(tmp_path))
    assert Path(arrived).read_text() == text
