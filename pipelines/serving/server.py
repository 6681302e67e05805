"""The HTTP server: a socket that is taken before anything else starts, and an end that loses no request."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from charmnet.errors import CharmNetError

DRAIN_SECONDS = 120
"""For so long requests that are being worked on are waited for at the end."""

_BACKLOG = 2048


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold the address inside; clients wait until the server runs.

    Raises:
        CharmNetError: it is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise CharmNetError(
                f"--host {host} --port {port}: cannot be listened on ({error}); choose another"
            ) from error
        yield listener


def run_server(application: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT, finish those that have begun, and raise the signal again.

    Args:
        application: what answers.
        listener: a socket that is bound.
        ready: called when the server answers.
    """
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    _Server(config, ready).run([listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._ready()
