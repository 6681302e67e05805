"""Joining a cluster."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest
import ray

from charmnet.errors import ClusterError
from pipelines.runtime.cluster import connect, free_port

pytestmark = pytest.mark.servers  # a socket is opened to find a free port, or to look for a head


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])  # nothing listens there
def test_a_cluster_that_does_not_answer_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray would try for a quarter of an hour"))
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ClusterError, match=f"RAY_ADDRESS={address}: no Ray cluster to join"):
        connect()


def test_a_ray_that_does_not_start_here_is_an_error_and_no_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ClusterError, match=r"Ray did not start on this machine .*timed out during startup"):
        connect()
    assert list(tmp_path.glob("charmnet-ray-*")), "what Ray's processes said is kept"
    assert "RAY_ADDRESS" not in os.environ


def test_who_starts_ray_is_told_that_it_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for initialized in (False, True):
        monkeypatch.setattr(ray, "is_initialized", lambda: initialized)  # noqa: B023 - called at once
        assert connect() is not initialized


def test_the_port_of_rays_dashboard_agent_is_not_given_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Scripted(socket.socket):
        ports = iter([52365, 52366])  # the first is Ray's default

        def getsockname(self) -> tuple[str, int]:
            return "", next(self.ports)

    monkeypatch.setattr(socket, "socket", Scripted)
    assert free_port() == 52366
