"""What a tracking server refuses for good is told from an outage, before the work and in the middle of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest

from pipelines.tracking import RunIdentity, close_orphans, open_tracker, send_unsent
from pipelines.tracking.server import TrackingRefusedError
from pipelines.tracking.server_check import ServerCheck
from tests.fixtures.store_gates import certificates
from tests.fixtures.tracked_runs import EXPERIMENT, log_steps, the_run


@pytest.fixture(scope="module")
def deleted(mlflow_server: str) -> str:
    """Return the name of an experiment that was deleted."""
    client = mlflow.MlflowClient(mlflow_server)
    client.delete_experiment(client.create_experiment("deleted"))
    return "deleted"


def test_a_refusal_is_said_before_the_work(mlflow_server: str, deleted: str) -> None:
    ServerCheck(mlflow_server, "new").raise_refusal()
    ServerCheck("http://127.0.0.1:9", "new").raise_refusal()  # an outage
    with pytest.raises(TrackingRefusedError, match=r"'deleted' was deleted; restore it .*--experiment"):
        ServerCheck(mlflow_server, deleted).raise_refusal()
    other_host = mlflow_server.replace("127.0.0.1", "127.1")  # the same machine by a name of its own
    with pytest.raises(TrackingRefusedError, match=r"Invalid Host.*--allowed-hosts"):
        ServerCheck(other_host, "new").raise_refusal()


def test_a_refusal_in_the_middle_is_said_at_once_and_not_waited_for(
    mlflow_server: str, deleted: str, key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = RunIdentity(experiment=deleted, run_key=key, run_name="run")
    tracker = open_tracker(mlflow_server, identity, tmp_path)
    log_steps(tracker, 1, 3)
    started = time.monotonic()
    assert not tracker.close("FINISHED", timeout_seconds=60)
    assert time.monotonic() - started < 14  # an outage is waited for 15 s
    (refusal,) = [r.message for r in caplog.records if "refused by the server" in r.message]
    assert "mlflow experiments restore" in refusal
    client = mlflow.MlflowClient(mlflow_server)
    client.restore_experiment(client.get_experiment_by_name(deleted).experiment_id)
    assert send_unsent(tmp_path, mlflow_server).sent == [tmp_path]
    (run,) = client.search_runs([client.get_experiment_by_name(deleted).experiment_id])
    assert run.info.status == "FINISHED"


DATABASES = """
import os, shutil, sqlite3, sys
from contextlib import closing
from pathlib import Path
import mlflow
from pipelines.tracking.server import TrackingRefusedError
from pipelines.tracking.server_check import ServerCheck

folder = Path(sys.argv[1])
(folder / "junk.db").write_bytes(os.urandom(5000))
mlflow.MlflowClient(f"sqlite:///{folder / 'made.db'}").search_experiments()
for name, version in (("older.db", "bda7b8c39065"), ("newer.db", "0" * 12)):
    shutil.copy(folder / "made.db", folder / name)
    with closing(sqlite3.connect(folder / name)) as database:
        database.execute("update alembic_version set version_num = ?", [version])
        database.commit()
for name in ("junk.db", "older.db", "newer.db", "made.db"):
    try:
        print(name, ServerCheck(f"sqlite:///{folder / name}", "new").raise_refusal())
    except TrackingRefusedError as refusal:
        print(name, refusal)
"""


def test_a_database_that_will_not_do_is_no_outage(tmp_path: Path) -> None:
    """Damaged, or of another version of MLflow's. In a process of its own: see below."""
    command = [sys.executable, "-c", DATABASES, str(tmp_path)]
    done = subprocess.run(command, env=_without_address(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    junk, older, newer, made = done.stdout.splitlines()
    assert re.search("refuses: .*not a database.*choose another file by --tracking", junk)
    assert re.search("refuses: .*mlflow db upgrade.*another version of MLflow made it", older)
    assert re.search("refuses: .*of MLflow made it|refuses: .*a newer MLflow", newer)
    assert made == "made.db None"


class _OtherVersion(BaseHTTPRequestHandler):
    """A server, or a gateway before one, that takes other versions of the client."""

    def do_GET(self) -> None:
        self.send_response(426)
        self.end_headers()
        self.wfile.write(b"client version not supported, expected 9.x")

    do_POST = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, *_: object) -> None:
        pass


def test_a_certificate_and_a_server_without_tls_are_told_apart(tmp_path: Path) -> None:
    private, _ = certificates(tmp_path)
    for context, said in (
        (None, "speaks no TLS there: give its address with http://"),
        (private, "CERT_PATH"),
    ):
        with ThreadingHTTPServer(("127.0.0.1", 0), _OtherVersion) as server:
            if context is not None:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            with pytest.raises(TrackingRefusedError, match=said):
                ServerCheck(f"https://127.0.0.1:{server.server_port}", "new").raise_refusal()
            server.shutdown()
            thread.join()


def test_a_server_that_refuses_the_version_is_no_outage(
    key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OtherVersion) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        said = rf"expected 9\.x.*this client \(mlflow {mlflow.__version__}\) are of versions that do not fit"
        with pytest.raises(TrackingRefusedError, match=said):
            ServerCheck(url, "new").raise_refusal()
        tracker = open_tracker(url, RunIdentity(experiment="new", run_key=key, run_name="run"), tmp_path)
        log_steps(tracker, 1, 3)
        started = time.monotonic()
        assert not tracker.close("FINISHED", timeout_seconds=60)
        assert time.monotonic() - started < 14  # an outage is waited for 15 s
        server.shutdown()
        thread.join()
    assert [r.message for r in caplog.records if "refused by the server" in r.message]
    assert not any("dropped" in r.message for r in caplog.records), "the records wait"


def test_a_run_whose_records_are_on_their_way_is_not_closed(
    mlflow_server: str, key: str, tmp_path: Path
) -> None:
    """As behind a slow line: the run is over, and its last records are still in the spool."""
    script = (
        "import sys, os, time; from pathlib import Path\n"
        "from tests.fixtures.tracked_runs import open_run, log_steps\n"
        "tracker = open_run(sys.argv[1], sys.argv[2], Path(sys.argv[3])); log_steps(tracker, 1, 3)\n"
        "while tracker.run_id is None: time.sleep(0.1)\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, mlflow_server, key, str(tmp_path)], check=True)
    run_id = the_run(mlflow_server, key).info.run_id
    assert run_id not in close_orphans(mlflow_server, EXPERIMENT, unsent={key})
    assert the_run(mlflow_server, key).info.status == "RUNNING"
    assert run_id in close_orphans(mlflow_server, EXPERIMENT)


def _without_address() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return environment | {"PYTHONPATH": str(Path(__file__).parents[2])}


REGISTER = """
import sys
from pathlib import Path
from pipelines.tracking.logged_models import resolve_model
from pipelines.tracking.server_check import ServerCheck
from tests.fixtures.tracked_runs import EXPERIMENT, open_run, the_run

uri, state, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
for attempt in range(2):  # the second finds the versions of the first
    tracker = open_run(uri, "key", state / "spool")
    for name in names:
        model = state / "model"
        (model / "charmnet").mkdir(parents=True)
        (model / "charmnet" / "weights").write_bytes(b"weights")
        registry = {"registered_name": name, "aliases": ["best"]}
        tracker.log_model_folder(model, name=f"best-{names.index(name)}", step=7, metrics={}, **registry)
    assert tracker.close("FINISHED", 200)  # making the database's tables takes long on a busy machine
import mlflow
found = mlflow.MlflowClient(uri).search_model_versions()
assert sorted((version.name, version.version) for version in found) == [(name, 1) for name in names], found
assert the_run(uri, "key").info.status == "FINISHED"
for name in names:
    ServerCheck(uri, EXPERIMENT, name).raise_refusal()
    assert resolve_model(f"models:/{name}@best", uri, state / "fetched").is_dir()
"""


def test_models_are_registered_in_a_database_and_nothing_is_left_where_the_command_runs(
    tmp_path: Path,
) -> None:
    """In a process of its own: of MLflow's default address there is one a process."""
    (tmp_path / "here").mkdir()
    names = ["Bob's", 'say "a" %']
    done = subprocess.run(
        [sys.executable, "-c", REGISTER, f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path), *names],
        env=_without_address(),
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "here").iterdir()) == []
