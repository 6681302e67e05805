"""Whether a Ray cluster answers at an address: Ray itself waits long, or without end, where none does."""

from __future__ import annotations

import os
import socket

from charmnet.errors import ClusterError

_JOBS = ("http://", "https://")
_HANDSHAKE_SECONDS = 10.0


def check_reachable(address: str, timeout_seconds: float) -> bool:
    """Check that a Ray cluster, or at least a server of its protocol, answers at HOST:PORT.

    Ray itself tries for a quarter of an hour where nothing listens, without end where something else does.

    Args:
        address: HOST:PORT or ray://HOST:PORT; others are left to Ray.
        timeout_seconds: of connecting.

    Returns:
        Whether the address was asked.

    Raises:
        ClusterError: the address is that of Ray's jobs, or something else answers there.
        OSError: nothing listens there.
    """
    if address.startswith(_JOBS):
        raise ClusterError(
            f"RAY_ADDRESS={address}: jobs are submitted to this address; to join the cluster give "
            "HOST:6379 of its head, or ray://HOST:10001, or run the command as a job: "
            f"ray job submit --address {address} -- charmnet ..."
        )
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return False
    socket.create_connection((host.strip("[]"), int(port)), timeout_seconds).close()
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True  # its certificates are Ray's to check
    import grpc  # noqa: PLC0415 - Ray's own; it takes a moment to load

    with grpc.insecure_channel(f"{host}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_HANDSHAKE_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise ClusterError(
                f"RAY_ADDRESS={address}: something listens there that is no Ray cluster (no answer in its "
                f"protocol within {_HANDSHAKE_SECONDS:.0f} s); give HOST:6379 of the head, or ray://HOST:10001"
            ) from error
    return True
