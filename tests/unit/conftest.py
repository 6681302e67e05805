"""Unit tests start no Ray and open no network socket; those marked `cluster` or `servers` may."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import pytest
import urllib3  # noqa: F401 - which tries a socket when it is imported

ALLOWED_BY = ("cluster", "servers")
RAY_PROGRAMS = ("gcs_server", "raylet")


class Guard:
    """An audit hook that refuses network sockets and Ray's programs while a test forbids them.

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
            raise RuntimeError(f"{event} in a unit test; mark it with one of {', '.join(ALLOWED_BY)}")


def _forbidden(event: str, arguments: tuple[Any, ...]) -> bool:
    if event in ("socket.bind", "socket.connect"):
        return arguments[0].family in (socket.AF_INET, socket.AF_INET6)
    return event == "subprocess.Popen" and PurePath(str(arguments[0])).name in RAY_PROGRAMS


GUARD = Guard()
sys.addaudithook(GUARD)


@pytest.fixture(autouse=True)
def _no_network_and_no_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that opened a socket or started Ray without a mark that allows it."""
    GUARD.refused.clear()
    GUARD.active = not any(request.node.get_closest_marker(name) for name in ALLOWED_BY)
    yield
    GUARD.active = False
    assert not GUARD.refused
