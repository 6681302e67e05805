"""Real work with planted keys, tokens and passwords: none may be found in anything that it leaves."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import requests

from pipelines.runtime.storage import Location
from tests.factories import make_rdharmony
from tests.fixtures.authenticated_mlflow import ROOT, AuthenticatedServer
from tests.fixtures.datasets import ShardedDatasets
from tests.fixtures.object_store import ObjectStoreForTests

WORK = """
import json, os, subprocess, sys
from pathlib import Path
from pipelines.commands.cli import main

real, released, rendered, storage, told = sys.argv[1:]
planted = os.environ["PLANTED_URI"]
run = ["train", "--real", real, "--rendered", rendered, "--storage", storage, "--name", "run"]
run += ["--recipe", "debug"]
codes = [
    main(["shard", "rdharmony", "--source", released, "--dest", rendered]),
    main([*run, "steps=2", "validate=IHD_test", "validate_every=2", "validate_images=2"]),
]
import ray
from ray.util.state import StateApiClient
from ray.util.state.common import ListApiOptions, StateResource
client = StateApiClient(address=ray.get_runtime_context().gcs_address)
kinds = (StateResource.JOBS, StateResource.ACTORS, StateResource.TASKS, StateResource.RUNTIME_ENVS)
tables = [client.list(kind, ListApiOptions(detail=True), False) for kind in kinds]
Path(told).write_text(json.dumps(tables, default=str))
ray.shutdown()
subprocess.run(["cp", "-a", os.environ["RAY_TMPDIR"], f"{told}-of-ray"], check=True)
codes += [
    main(["inspect", planted]),
    main([*run, "--init", planted]),
    main([*run, "--tracking", os.environ["PLANTED_TRACKING"]]),
]
os.environ["AWS_ENDPOINT_URL"] = os.environ["PLANTED_ENDPOINT"]
os.environ["AWS_MAX_ATTEMPTS"] = "1"
codes.append(main(["inspect", real]))
print("codes", codes)
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Make a folder for Ray's sockets, whose paths may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class ArgumentLists(threading.Thread):
    """Every argument list of a process and its descendants, looked at all the time."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.seen: set[str] = set()

    def run(self) -> None:
        while not self._ended.wait(0.3):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                for process in family:
                    self.seen.add("\0".join(process.cmdline()))
            except psutil.Error:  # one that has just ended
                continue

    def end(self) -> set[str]:
        self._ended.set()
        self.join()
        return self.seen


def spellings(secret: str) -> set[bytes]:
    """Return the forms in which a secret may be written to a file."""
    encoded = base64.b64encode(secret.encode()).rstrip(b"=")
    return {secret.encode(), quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), encoded}


@pytest.mark.timeout(660)  # it starts a cluster and a run: a minute alone, five beside three busy programs
def test_no_secret_in_anything_that_is_left_behind(
    s3: ObjectStoreForTests,
    datasets: ShardedDatasets,
    authenticated_server: AuthenticatedServer,
    tmp_path: Path,
    short_folder: Path,
) -> None:
    make_rdharmony(tmp_path / "released", scenes=2, composites=False)
    token, typed = secrets.token_hex(32), secrets.token_urlsafe(24)
    prefix = s3.prefix()
    prefixes = ("RAY_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_TMPDIR": str(short_folder),
        "MLFLOW_TRACKING_URI": authenticated_server.url,
        "MLFLOW_TRACKING_USERNAME": authenticated_server.user,
        "MLFLOW_TRACKING_PASSWORD": authenticated_server.password,
        "CHARMNET_STATE": str(tmp_path / "state"),
        "PLANTED_URI": f"s3://AKIAPLANTED:{typed}@bucket/data",
        "PLANTED_TRACKING": f"http://someone:{typed}@127.0.0.1:9",
        "PLANTED_ENDPOINT": f"http://someone:{typed}@127.0.0.1:9",
        "PYTHONPATH": str(ROOT),
    }
    folders = [str(tmp_path / "released"), f"{prefix}/rendered", f"{prefix}/runs", str(tmp_path / "told")]
    command = [sys.executable, str(tmp_path / "work.py"), datasets.real, *folders]
    (tmp_path / "work.py").write_text(WORK)
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        lists = ArgumentLists(process.pid)
        lists.start()
        with suppress(subprocess.TimeoutExpired):
            process.wait(600)
        process.kill()  # only where it has not ended: its Ray ends with it
        code = process.wait()
    output_text = (tmp_path / "output").read_text()
    assert code == 0, output_text
    assert "codes [0, 0, 2, 2, 2, 1]" in output_text, output_text
    (tmp_path / "argument lists").write_text("\n".join(lists.end()))

    written = files_beneath(tmp_path, short_folder, authenticated_server.folder)
    store = Location.of(prefix)
    written |= {f"{prefix}/{name}": (store / name).read_bytes() for name in store.walk_files()}
    assert f"{prefix}/runs/run/run.json" in written
    assert any(path.endswith("/logs/raylet.out") for path in written)
    database = (authenticated_server.folder / "mlflow.db").read_bytes()
    assert f"{prefix}/runs/run".encode() in database  # what would be found if it were there
    keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    secret_values = [token, typed, *keys, *authenticated_server.secrets]
    allowed = {str(path) for path in authenticated_server.secret_files}
    leaks = [
        (path, secret)
        for secret in secret_values
        for spelling in spellings(secret)
        for path, data in written.items()
        if spelling in data and path not in allowed
    ]
    assert not leaks


def files_beneath(*folders: Path) -> dict[str, bytes]:
    """Regular files, no sockets or links."""
    paths = (path for folder in folders for path in folder.rglob("*"))
    return {str(path): path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}


def test_a_shared_server_asks_who_calls_and_by_which_name(authenticated_server: AuthenticatedServer) -> None:
    page = f"{authenticated_server.url}/api/2.0/mlflow/experiments/search?max_results=1"
    account = (authenticated_server.user, authenticated_server.password)
    elsewhere = {"Host": "elsewhere.example"}
    assert requests.get(page, timeout=30).status_code == 401
    assert (
        requests.get(page, auth=(authenticated_server.user, "a wrong password"), timeout=30).status_code
        == 401
    )
    assert requests.get(page, auth=account, timeout=30).ok
    assert requests.get(page, auth=account, headers=elsewhere, timeout=30).status_code == 403
    family = [psutil.Process(authenticated_server.process.pid)]
    family += family[0].children(recursive=True)
    listening = {c.laddr.ip for p in family for c in p.net_connections("tcp") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    assert not any(secret in " ".join(p.cmdline()) for p in family for secret in authenticated_server.secrets)
    assert {path.stat().st_mode & 0o777 for path in authenticated_server.secret_files} == {0o600}
