"""Servers of the quickstart and the tests."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from charmnet.errors import StorageError
from pipelines.runtime.paths import state_folder
from pipelines.runtime.storage import Location
from pipelines.services.local import ObjectStore, Services, TrackingServer
from pipelines.services.service import LOOPBACK
from tests.fixtures.object_store import ObjectStoreForTests


@pytest.fixture(scope="module")
def store(s3: ObjectStoreForTests) -> ObjectStore:
    return s3.service


def _process_of(store: ObjectStore) -> psutil.Process:
    return psutil.Process(json.loads((store.folder / "object-store.json").read_text())["pid"])


def _in_child(code: str, environment: dict[str, str]) -> str:
    """Run code in a new process, so that no filesystem remembers an earlier endpoint or key."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WRITE = (
    "from pipelines.runtime.storage import Location; Location.of('s3://charmnet/kept').write_bytes(b'bytes')"
)
READ = "from pipelines.runtime.storage import Location; print(Location.of('s3://charmnet/kept').read_bytes())"


def test_listens_on_loopback_only_and_refuses_strangers(store: ObjectStore) -> None:
    listening = [c.laddr.ip for c in _process_of(store).net_connections("tcp") if c.status == "LISTEN"]
    assert set(listening) == {LOOPBACK}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{store.url}/charmnet/.ready")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{LOOPBACK}:{store.ports()['filer']}/buckets/charmnet/.ready")


def test_keys_stand_in_one_private_file_and_in_no_argument_or_log(store: ObjectStore) -> None:
    secret = store.environment()["AWS_SECRET_ACCESS_KEY"]
    logs = list((store.folder / "logs").iterdir())
    assert logs, "the store logs in its folder, not in the temporary one"
    files = [path for path in (*store.folder.iterdir(), *logs) if path.is_file()]
    holders = [path for path in files if secret in path.read_text()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in holders] == [0o600]
    assert secret not in " ".join(_process_of(store).cmdline())


def test_data_and_keys_survive_a_restart_on_other_ports(tmp_path: Path) -> None:
    folder = tmp_path / ("longer than the path of a socket may be " * 3)
    store = ObjectStore(folder)
    store.start()
    try:
        before, ports = store.environment(), store.ports()
        _in_child(WRITE, before)
        store.stop(grace_seconds=1)
        assert not store.running()
        (folder / "object-store.json").unlink()  # forgets the ports too
        store.start()
        after = store.environment()
        assert store.ports() != ports
        assert after["AWS_SECRET_ACCESS_KEY"] == before["AWS_SECRET_ACCESS_KEY"]
        assert _in_child(READ, after) == "b'bytes'"
    finally:
        store.stop(grace_seconds=1)


def test_an_environment_is_made_whole(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another account left in the shell spoils neither a process nor a shell that takes the file."""
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://127.0.0.1:9\ns3 =\n  addressing_style = virtual\n")
    foreign = {
        "AWS_SESSION_TOKEN": "another-token",
        "AWS_PROFILE": "another",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_CONFIG_FILE": str(config),
        "AWS_CA_BUNDLE": "/no/such/file",
        "MLFLOW_TRACKING_TOKEN": "another-token",
        "http_proxy": "http://127.0.0.1:9",
        "no_proxy": "example.org",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr(ObjectStore, "start", lambda self: None)
    monkeypatch.setattr(TrackingServer, "start", lambda self: None)
    monkeypatch.setattr(TrackingServer, "url", "http://127.0.0.1:1")
    services = Services(tmp_path)
    services.store = store
    services.start()
    token = "import os; print(os.environ.get('MLFLOW_TRACKING_TOKEN'))"
    read = f"{shlex.quote(sys.executable)} -c {shlex.quote(f'{WRITE}; {READ}; {token}')}"
    script = f". {shlex.quote(str(services.environment_file))} && {read}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "b'bytes'\nNone\n"), done.stderr
    use = "from pipelines.services.local import ObjectStore, use_servers; from pathlib import Path; "
    use += f"use_servers(ObjectStore(Path({str(store.folder)!r})).environment()); "
    assert _in_child(f"{use}{READ}", {}) == "b'bytes'"
    assert services.environment()["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_start_finds_what_runs_already(store: ObjectStore) -> None:
    again = ObjectStore(store.folder)
    again.start()
    assert _process_of(again).pid == _process_of(store).pid


def test_a_reused_process_id_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = {"pid": bystander.pid, "started_seconds": 1.0, "ports": {"s3": 1}}
        (tmp_path / "object-store.json").write_text(json.dumps(record))
        store = ObjectStore(tmp_path)
        assert not store.running()
        store.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database")
    with pytest.raises(StorageError, match=r"(?s)mlflow ended with status.*file is not a database"):
        TrackingServer(tmp_path).start()


def test_mlflow_answers_only_by_its_own_names(mlflow_server: str) -> None:
    address = f"{mlflow_server}/api/2.0/mlflow/experiments/get?experiment_id=0"
    with urllib.request.urlopen(address) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(address, headers={"Host": "example.org"}))


def test_state_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CHARMNET_STATE", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_folder() == tmp_path / ".local/state/charmnet"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder() == tmp_path / "xdg/charmnet"
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "own"))
    assert state_folder() == tmp_path / "own"


def test_every_prefix_of_the_shared_store_is_fresh(s3: ObjectStoreForTests) -> None:
    path = Location.of(s3.prefix())
    (path / "a/b.txt").write_bytes(b"x")
    assert path.walk_files() == ["a/b.txt"]
    assert Location.of(s3.prefix()).walk_files() == []
