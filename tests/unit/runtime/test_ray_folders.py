"""Folders that are short enough for sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.errors import ClusterError
from pipelines.runtime import ray_folders
from pipelines.runtime.ray_folders import (
    MAX_SOCKET_BYTES,
    private_folder,
    room_beneath,
    room_for_sockets,
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
    monkeypatch.setattr(ray_folders, "_FOLDERS", ("/proc/none",))
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


def test_the_room_is_that_of_the_folder_which_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    made = private_folder(temporary_folder())
    assert room_for_sockets() == room_beneath(made)
    assert Path(made).stat().st_mode & 0o777 == 0o700
