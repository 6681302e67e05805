"""Load on a server: clients that ask as fast as they are answered, and what came of it."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3

_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Question:
    """A request that is asked again and again.

    Attributes:
        body: of a POST.
        content_type: of the body.
        expected: body of a right answer.
    """

    body: bytes
    content_type: str
    expected: bytes


@dataclass(frozen=True)
class Load:
    """What came of a load.

    Attributes:
        seconds: how long it lasted.
        statuses: answers by status.
        latencies: seconds of each answer of status 200, sorted.
        wrong: answers of status 200 with another body than is expected.
        lost: requests that were not answered.
        without_retry: answers of status 503 that did not say when to try again.
    """

    seconds: float
    statuses: dict[int, int]
    latencies: Sequence[float]
    wrong: int
    lost: int
    without_retry: int

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return (len(self.latencies) - self.wrong) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency that a share of the answers did not exceed (nearest rank); NaN without any."""
        if not self.latencies:
            return math.nan
        return self.latencies[max(math.ceil(share * len(self.latencies)), 1) - 1]


def form(files: dict[str, tuple[str, bytes]], fields: dict[str, str], expected: bytes) -> Question:
    """Return the question of a form.

    Args:
        files: (name, content) by field.
        fields: values by field.
        expected: the right answer.
    """
    body, content_type = urllib3.encode_multipart_formdata({**files, **fields})
    return Question(body, content_type, expected)


def ask(
    url: str, questions: Sequence[Question], clients: int, seconds: float, most: int | None = None
) -> Load:
    """Have clients, each on a connection of its own, ask one question after the other.

    Args:
        url: of a POST.
        questions: asked in turn.
        clients: how many ask at a time.
        seconds: no request begins later.
        most: nor more than so many.
    """
    parts = urlsplit(url)
    turns = itertools.islice(itertools.cycle(questions), most)
    lock = threading.Lock()
    statuses: Counter[int] = Counter()
    faults: Counter[str] = Counter()
    latencies: list[float] = []
    pool = urllib3.HTTPConnectionPool(
        str(parts.hostname), parts.port, maxsize=clients, block=True, timeout=_TIMEOUT_SECONDS, retries=False
    )
    started = time.monotonic()

    def client() -> None:
        while time.monotonic() - started < seconds:
            with lock:
                question = next(turns, None)
            if question is None:
                return
            began = time.monotonic()
            try:
                answer = pool.request(
                    "POST", parts.path, body=question.body, headers={"content-type": question.content_type}
                )
            except urllib3.exceptions.HTTPError:
                with lock:
                    faults["lost"] += 1
                continue
            passed = time.monotonic() - began
            with lock:
                statuses[answer.status] += 1
                if answer.status == 200:
                    latencies.append(passed)
                    faults["wrong"] += answer.data != question.expected
                elif answer.status == 503:
                    faults["without_retry"] += "retry-after" not in answer.headers

    with pool, ThreadPoolExecutor(clients) as threads:
        for future in [threads.submit(client) for _ in range(clients)]:
            future.result()
    return Load(
        time.monotonic() - started,
        dict(statuses),
        sorted(latencies),
        faults["wrong"],
        faults["lost"],
        faults["without_retry"],
    )
