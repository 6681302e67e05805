"""Free TCP ports for the servers that this project starts."""

from __future__ import annotations

import socket
from collections.abc import Sequence


def free_ports(preferred: Sequence[int], host: str = "") -> list[int]:
    """Return a port for each one that is preferred: that one where it is free, else any free one.

    All are held until the last is chosen, so that no two are the same.

    Args:
        preferred: ports; 0 stands for any.
        host: the address that the server will listen on; "" stands for every interface.
    """
    ports: list[int] = []
    listeners: list[socket.socket] = []
    try:
        for port in preferred:
            listener = socket.socket()
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError:
                listener.bind((host, 0))
            ports.append(listener.getsockname()[1])
    finally:
        for listener in listeners:
            listener.close()
    return ports
