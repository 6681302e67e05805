"""Proxy in front of a server that refuses, delays or fails requests when a scenario asks for it, or is slow.

It takes one request a connection and passes bytes on unchanged, Host header included: S3's signatures cover
it. Of HTTP it only finds the end of a request's head.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pipelines.services.service import LOOPBACK

T = TypeVar("T")

_CHUNK_BYTES = 1 << 16
_SLOW_CHUNK_BYTES = 1 << 12
_UP, _DOWN = 0, 1
_MOST_HEAD_BYTES = 1 << 20
_DRAIN_SECONDS = 2.0
_BIND_SECONDS = 30.0  # another process may have been given the port while nobody listened
_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)
_HOST = re.compile(rb"\r\nhost:[^\r]*", re.IGNORECASE)
_BODY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please try again.</Message></Error>"
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/xml\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


@dataclass(frozen=True)
class Behaviour:
    """How the proxy treats requests.

    Attributes:
        down: connections are refused, and open ones end at once.
        delay_seconds: pause before each request is passed on.
        error_rate: fraction of requests that fail: half with 503, half by the end of their connection.
        bytes_per_second: what the line carries each way, of all connections together; 0 for no limit.
    """

    down: bool = False
    delay_seconds: float = 0.0
    error_rate: float = 0.0
    bytes_per_second: float = 0.0


class StoreProxy:
    """Proxy that listens on the loopback interface from `start` to `stop`, in a thread of its own.

    Args:
        server_url: URL of the real server.
        seed: seed of the choice which requests fail.
        own_host: give the server its own address as Host, as one that refuses others' names needs it.

    Attributes:
        requests: number of requests so far.
        failed: number of requests that it let fail.
    """

    def __init__(self, server_url: str, seed: int = 0, *, own_host: bool = False) -> None:
        parts = urlsplit(server_url)
        self._host = parts.netloc.encode() if own_host else None
        self._server = parts.hostname, parts.port
        self._random = random.Random(seed)  # noqa: S311 - failures that can be repeated
        self._behaviour = Behaviour()
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="store-proxy", daemon=True)
        self._port = 0
        self._free_at = [0.0, 0.0]  # when the line has carried what it was given, each way
        self.requests = 0
        self.failed = 0

    @property
    def url(self) -> str:
        """URL of the proxy, the same while it is down."""
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Start listening."""
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        """End all connections and the thread."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def behave(self, behaviour: Behaviour) -> None:
        """Change how later requests are treated."""
        self._do(self._change(behaviour))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_BIND_SECONDS + 10)

    async def _change(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        if behaviour.down:
            await self._refuse_all()
        elif self._listener is None:
            await self._listen()

    async def _listen(self) -> None:
        deadline = self._loop.time() + _BIND_SECONDS
        while self._listener is None:
            try:
                self._listener = await asyncio.start_server(
                    self._serve, LOOPBACK, self._port, limit=_MOST_HEAD_BYTES
                )
            except OSError:
                if self._loop.time() > deadline:
                    raise
                await asyncio.sleep(0.2)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _refuse_all(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            connection.transport.abort()

    async def _end(self) -> None:
        await self._refuse_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self._connections.add(answers)
        try:
            head = await client.readuntil(b"\r\n\r\n")
            self.requests += 1
            await asyncio.sleep(self._behaviour.delay_seconds)
            if self._random.random() < self._behaviour.error_rate:
                self.failed += 1
                await self._fail(client, answers)
            else:
                await self._pass_on(head, client, answers)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            answers.transport.abort()  # one side is gone: close the connection to the other
        finally:
            self._connections.discard(answers)
            answers.close()

    async def _fail(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        if self._random.random() < 0.5:
            answers.transport.abort()
            return
        answers.write(_UNAVAILABLE)
        answers.write_eof()
        with suppress(TimeoutError):  # closing with the request's body unread would take the answer back
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await client.read(_CHUNK_BYTES):
                    pass

    async def _pass_on(
        self, head: bytes, client: asyncio.StreamReader, answers: asyncio.StreamWriter
    ) -> None:
        server, requests = await asyncio.open_connection(*self._server)
        self._connections.add(requests)
        if self._host is not None:
            head = _HOST.sub(b"\r\nHost: " + self._host, head, count=1)
        requests.write(_CONNECTION.sub(b"", head[:-4]) + b"\r\nConnection: close\r\n\r\n")
        body = asyncio.create_task(self._pump(client, requests, _UP))
        answer = asyncio.create_task(self._pump(server, answers, _DOWN))
        try:
            # The server ends the connection when it has answered, and the client only when it gives up.
            await asyncio.wait((body, answer), return_when=asyncio.FIRST_COMPLETED)
            if body.done() and body.exception() is not None:  # the server takes no more, and says why
                await asyncio.wait((answer,))
            if answer.done():
                answer.result()
        finally:
            for task in (body, answer):
                task.cancel()
            await asyncio.gather(body, answer, return_exceptions=True)
            self._connections.discard(requests)
            requests.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: int) -> None:
        while data := await source.read(
            _SLOW_CHUNK_BYTES if self._behaviour.bytes_per_second else _CHUNK_BYTES
        ):
            await self._carry(len(data), way)
            sink.write(data)
            await sink.drain()

    async def _carry(self, size: int, way: int) -> None:
        """Wait as long as the line needs for so many bytes, after those that it was given before."""
        rate = self._behaviour.bytes_per_second
        if rate:
            self._free_at[way] = max(self._free_at[way], self._loop.time()) + size / rate
            await asyncio.sleep(self._free_at[way] - self._loop.time())
