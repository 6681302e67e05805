"""Folders that are short enough for sockets, addresses of clusters, and process groups."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.errors import ClusterError
from pipelines.runtime import ray_processes
from pipelines.runtime.ray_processes import (
    MAX_SOCKET_BYTES,
    check_reachable,
    room_beneath,
    short_folder,
    temporary_folder,
)


@given(st.integers(0, 200))
def test_a_folder_with_room_takes_the_longest_socket(length: int) -> None:
    folder = "/" + "x" * length
    session = "/ray/session_2026-11-29_21-27-56_499000_4194304/sockets"
    sockets = (
        f"{session}/plasma_store",
        f"{session}/dash_TaskEventsHead",
        "/pymp-abcdefgh/listener-abcdefgh",
    )
    if room_beneath(folder) >= 0:
        assert max(len(folder + path) for path in sockets) <= MAX_SOCKET_BYTES


@pytest.mark.servers  # sockets, though none of the network
def test_a_long_folder_is_reached_by_a_short_link(tmp_path: Path) -> None:
    assert short_folder("/tmp") == "/tmp"
    long = tmp_path / ("x" * 90)
    short = short_folder(str(long))
    assert room_beneath(short) >= 0
    path = f"{short}/{'y' * room_beneath(short)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    assert [file.name for file in long.iterdir()] == [Path(path).name]
    assert Path(short).parent.stat().st_mode & 0o777 == 0o700


def test_the_real_cause_is_said_where_no_link_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_processes, "_FOLDERS", ("/proc/none",))
    with pytest.raises(ClusterError, match=r"bytes too long for Ray's sockets.*set RAY_TMPDIR"):
        short_folder(str(tmp_path / ("x" * 90)))


def test_rays_own_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/a")
    monkeypatch.setenv("RAY_TMPDIR", "/b")
    assert temporary_folder() == "/b"
    monkeypatch.delenv("RAY_TMPDIR")
    assert temporary_folder() == "/a"
    monkeypatch.delenv("TMPDIR")
    assert temporary_folder() == "/tmp"


def test_the_address_of_jobs_is_told_apart() -> None:
    for address in ("http://127.0.0.1:8265", "https://cluster.example:8265"):
        with pytest.raises(ClusterError, match="ray job submit --address") as refusal:
            check_reachable(address, 1)
        assert "HOST:6379" in str(refusal.value)
    assert not check_reachable("auto", 1)


@pytest.mark.servers
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_port_where_something_else_listens_is_no_cluster(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_processes, "_HANDSHAKE_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"{scheme}127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ClusterError, match="something listens there that is no Ray cluster"):
            check_reachable(address, 5)


PROCESSES = """
import os, subprocess, sys, time
from pipelines.runtime.ray_processes import groups_of_their_own
def start():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=lambda: None)
with groups_of_their_own():
    apart = start()
beside = start()
print(os.getpgid(apart.pid) == apart.pid, os.getpgid(beside.pid) == os.getpgid(0), apart.pid, flush=True)
time.sleep(60)
"""


def test_a_signal_to_the_group_passes_over_rays_processes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESSES], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    apart, beside, pid = process.stdout.readline().split()
    assert (apart, beside) == ("True", "True")
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    os.kill(int(pid), signal.SIGKILL)  # it is there, or this would raise
    process.stdout.close()
