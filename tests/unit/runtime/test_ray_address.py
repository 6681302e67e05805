"""Addresses of clusters."""

from __future__ import annotations

import socket

import pytest

from charmnet.errors import ClusterError
from pipelines.runtime import ray_address
from pipelines.runtime.ray_address import check_reachable


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
    monkeypatch.setattr(ray_address, "_HANDSHAKE_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"{scheme}127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ClusterError, match="something listens there that is no Ray cluster"):
            check_reachable(address, 5)
