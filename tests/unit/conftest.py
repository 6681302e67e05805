"""Unit tests start no Ray and open no network socket; those marked `cluster` or `servers` may.

None writes a file into the repository's top folder, where a command writes that is given no path. What
another test of the process has started is hidden from them: no result depends on which test ran before.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
import urllib3  # noqa: F401 - which tries a socket when it is imported

from pipelines.services.local import without_other_servers

ALLOWED_BY = ("cluster", "servers")
RAY_PROGRAMS = ("gcs_server", "raylet")
REPOSITORY = Path(__file__).parents[2]


class Guard:
    """An audit hook that refuses network sockets, Ray's programs and files in the repository's top folder.

    Attributes:
        active: whether the running test forbids them.
        refused: what was refused since the test began; an error alone could be caught by the code under test.
    """

    def __init__(self) -> None:
        self.active = False
        self.refused: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse an audit event of Python.

        Raises:
            RuntimeError: the event is forbidden.
        """
        if self.active and _forbidden(event, arguments):
            self.refused.append(event)
            remedy = (
                f"{arguments[0]} is in the repository; give a path beneath tmp_path"
                if event == "open"
                else f"mark it with one of {', '.join(ALLOWED_BY)}"
            )
            raise RuntimeError(f"{event} in a unit test; {remedy}")


def _forbidden(event: str, arguments: tuple[Any, ...]) -> bool:
    if event in ("socket.bind", "socket.connect"):
        return arguments[0].family in (socket.AF_INET, socket.AF_INET6)
    if event == "open":
        path, _, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR) and not isinstance(path, int)
        return bool(writes) and Path(os.fsdecode(path)).absolute().parent == REPOSITORY
    return event == "subprocess.Popen" and PurePath(str(arguments[0])).name in RAY_PROGRAMS


GUARD = Guard()
sys.addaudithook(GUARD)


@pytest.fixture(autouse=True)
def _servers_of_other_tests_are_hidden(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hide an object store, a tracking server and a Ray that a fixture of the whole session has started."""
    if request.node.get_closest_marker("cluster") is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        if "ray" in sys.modules:
            monkeypatch.setattr("ray.is_initialized", lambda: False)
    if not any(request.node.get_closest_marker(name) for name in ALLOWED_BY):
        for name in set(os.environ) - set(without_other_servers(os.environ)):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_network_and_no_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that opened a socket, started Ray or wrote into the repository; marks allow it."""
    GUARD.refused.clear()
    GUARD.active = not any(request.node.get_closest_marker(name) for name in ALLOWED_BY)
    yield
    GUARD.active = False
    assert not GUARD.refused
