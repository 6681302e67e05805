"""The proxy in front of the object store: requests that pass, and requests that it lets fail."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.chaos.store_proxy import Behaviour, StoreProxy

pytestmark = pytest.mark.servers


class _Echo(BaseHTTPRequestHandler):
    """Answers with the Host header that came, the size of the body, and a body of a megabyte."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Seen-Host", self.headers["Host"])
        self.send_header("Seen-Bytes", str(len(body)))
        self.send_header("Content-Length", str(1 << 20))
        self.end_headers()
        self.wfile.write(b"x" * (1 << 20))

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def proxy() -> Iterator[StoreProxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = StoreProxy(f"http://127.0.0.1:{server.server_port}")
    proxy.start()
    yield proxy
    proxy.stop()
    server.shutdown()
    server.server_close()


def put(proxy: StoreProxy, size: int = 10) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("PUT", "/key", b"x" * size, {"Connection": "keep-alive"})
        response = connection.getresponse()
        response.data = response.read()
        return response
    finally:
        connection.close()


def outcomes(proxy: StoreProxy, count: int) -> list[int | None]:
    """Statuses; None where the connection ended without one."""
    statuses: list[int | None] = []
    for _ in range(count):
        try:
            statuses.append(put(proxy, 1 << 18).status)
        except OSError:
            statuses.append(None)
    return statuses


def test_requests_pass_with_the_host_that_was_signed(proxy: StoreProxy) -> None:
    response = put(proxy, size=3 << 20)
    assert response.headers["Seen-Host"] == proxy.url.removeprefix("http://")
    assert response.headers["Seen-Bytes"] == str(3 << 20)
    assert len(response.data) == 1 << 20
    assert (proxy.requests, proxy.failed) == (1, 0)


def test_a_slow_store_answers_late(proxy: StoreProxy) -> None:
    proxy.behave(Behaviour(delay_seconds=0.2))
    started = time.monotonic()
    assert put(proxy).status == 200
    assert time.monotonic() - started >= 0.2


def test_a_failing_store_fails_its_share_of_requests_in_both_ways(proxy: StoreProxy) -> None:
    proxy.behave(Behaviour(error_rate=0.5))
    statuses = outcomes(proxy, 40)
    assert set(statuses) == {200, 503, None}
    assert proxy.failed == sum(status != 200 for status in statuses)
    assert 8 <= proxy.failed <= 32


def test_a_store_that_is_down_refuses_and_comes_back_at_the_same_address(proxy: StoreProxy) -> None:
    url = proxy.url
    proxy.behave(Behaviour(down=True))
    with pytest.raises(ConnectionRefusedError):
        put(proxy)
    proxy.behave(Behaviour())
    assert proxy.url == url
    assert put(proxy).status == 200


def test_a_slow_line_carries_so_much_a_second_each_way(proxy: StoreProxy) -> None:
    proxy.behave(Behaviour(bytes_per_second=1 << 20))
    started = time.monotonic()
    response = put(proxy, 1 << 19)
    assert time.monotonic() - started > 1.4  # half a megabyte up, then one down
    assert (response.headers["Seen-Bytes"], len(response.data)) == (str(1 << 19), 1 << 20)


def test_the_server_can_be_given_its_own_name(proxy: StoreProxy) -> None:
    behind = StoreProxy(proxy.url, own_host=True)
    behind.start()
    assert put(behind).headers["Seen-Host"] == proxy.url.removeprefix("http://")
    behind.stop()
