"""The guard that keeps Ray, sockets and files in the repository out of unit tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.runtime.cluster import works_in_process
from pipelines.runtime.storage import Location
from tests.unit.conftest import GUARD, REPOSITORY


def test_a_unit_test_opens_no_network_socket() -> None:
    with (
        socket.socket() as server,
        pytest.raises(RuntimeError, match=r"socket\.bind in a unit test; mark it"),
    ):
        server.bind(("127.0.0.1", 0))
    with socket.socket(socket.AF_INET6) as client, pytest.raises(RuntimeError, match=r"socket\.connect"):
        client.connect(("::1", 9))
    assert GUARD.refused == ["socket.bind", "socket.connect"]
    GUARD.refused.clear()


def test_a_unit_test_starts_no_program_of_ray() -> None:
    with pytest.raises(RuntimeError, match=r"subprocess\.Popen in a unit test"):
        subprocess.Popen(["/usr/lib/ray/core/src/ray/raylet/raylet", "--help"])
    assert GUARD.refused == ["subprocess.Popen"]
    GUARD.refused.clear()


def test_a_unit_test_leaves_no_file_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(RuntimeError, match=r"open in a unit test; .* give a path beneath tmp_path"):
        Location.of("./made-contact-sheet.png").write_bytes(b"sheet")
    with pytest.raises(RuntimeError, match="give a path beneath tmp_path"):
        Path("sheet.png").write_bytes(b"sheet")
    assert GUARD.refused == ["open", "open"]
    GUARD.refused.clear()
    Location.of(tmp_path / "sheet.png").write_bytes(b"sheet")
    assert (REPOSITORY / "README.md").read_text()
    assert not GUARD.refused


def test_ray_does_not_start_under_the_guard() -> None:
    # A process of its own: in this one, a marked test may have left its Ray.
    code = """
import contextlib, ray
from tests.unit.conftest import GUARD
GUARD.active = True
with contextlib.suppress(Exception):
    ray.init("local", num_cpus=1, include_dashboard=False)  # not whatever Ray the machine runs already
assert not ray.is_initialized()
assert GUARD.refused
"""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr


@pytest.fixture(scope="module")
def left_by_another_test() -> Iterator[None]:
    """Leave what fixtures of a whole session leave: a store's address, and a Ray that runs."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        patch.setenv("RAY_ADDRESS", "127.0.0.1:9")
        patch.setattr(ray, "is_initialized", lambda: True)
        yield


@pytest.mark.usefixtures("left_by_another_test")
def test_a_unit_test_sees_no_server_of_another() -> None:
    assert not {"AWS_ENDPOINT_URL", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"} & set(os.environ)
    assert works_in_process(True)


@pytest.mark.cluster
@pytest.mark.usefixtures("left_by_another_test")
def test_a_marked_test_uses_what_the_session_has() -> None:
    assert {"AWS_ENDPOINT_URL", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"} <= set(os.environ)
    assert not works_in_process(True)


def test_what_is_caught_is_still_known() -> None:
    with contextlib.suppress(RuntimeError), socket.socket() as server:
        server.bind(("127.0.0.1", 0))
    assert GUARD.refused == ["socket.bind"]
    GUARD.refused.clear()


@pytest.mark.servers
def test_a_marked_test_may_open_a_socket() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
    assert not GUARD.refused
