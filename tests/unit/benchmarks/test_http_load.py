from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.benchmarks.http_load import Load, ask, form


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0, 1))
def test_a_share_of_the_answers_does_not_exceed_its_percentile(latencies: list[float], share: float) -> None:
    load = Load(1, {}, sorted(latencies), 0, 0, 0)
    value = load.percentile(share)
    assert sum(latency <= value for latency in latencies) >= share * len(latencies)
    assert sum(latency < value for latency in latencies) <= share * len(latencies)
    assert math.isnan(Load(1, {}, [], 0, 0, 0).percentile(share))


class Turns(BaseHTTPRequestHandler):
    """Answers in turn: rightly, wrongly, 503 with and without Retry-After, not at all."""

    protocol_version = "HTTP/1.1"
    number = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        turn, Turns.number = Turns.number % 5, Turns.number + 1
        if turn == 4:
            self.close_connection = True
            return
        body = b"wrong" if turn == 1 else b"right"
        self.send_response(200 if turn < 2 else 503)
        if turn == 2:
            self.send_header("retry-after", "1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Turns) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/harmonize"
        server.shutdown()
        thread.join()


@pytest.mark.servers
def test_every_answer_is_counted(url: str) -> None:
    question = form({"composite": ("a", b"data")}, {"format": "png"}, b"right")
    load = ask(url, [question], 1, 60, 10)
    assert load.statuses == {200: 4, 503: 4}
    assert (load.wrong, load.without_retry, load.lost, len(load.latencies)) == (2, 2, 2, 4)
    assert load.rate == pytest.approx(2 / load.seconds)
    assert ask(url, [question], 3, 0).statuses == {}
