"""The front without Ray and without a socket: a worker in this process behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import numpy as np
import pytest

from charmnet.blending import Adjustment
from charmnet.codecs import decode_mask, encode_mask, encode_png
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.methods import CharmNetMethod
from pipelines.demo.examples import write_examples
from pipelines.serving import body as body_module
from pipelines.serving.front import Front, FrontSettings
from pipelines.serving.requests import Answer, Job, Limits, Problem, token_digest
from pipelines.serving.worker import PictureWorker
from tests.fixtures.pretrained import make_pretrained

TOKEN = "a token of its own"
FORM = [(b"content-type", b"multipart/form-data; boundary=x")]


class Here:
    """A backend in this process, which waits for `go` where it is told to."""

    def __init__(self, worker: PictureWorker) -> None:
        self.worker = worker
        self.go = asyncio.Event()
        self.go.set()
        self.ready = 1

    async def harmonize(self, job: Job) -> Answer | Problem:
        await self.go.wait()
        return await asyncio.to_thread(self.worker.harmonize, job)

    async def replicas(self) -> int:
        return self.ready


@pytest.fixture(scope="module")
def method(tmp_path_factory: pytest.TempPathFactory) -> CharmNetMethod:
    return make_pretrained(tmp_path_factory.mktemp("models"), "any")


@pytest.fixture(scope="module")
def worker(method: CharmNetMethod) -> Iterator[PictureWorker]:
    worker = PictureWorker(method, 4, 1_000_000)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, bytes]]:
    composite, mask = write_examples(tmp_path_factory.mktemp("files"))[0]
    return {"composite": ("in.png", composite.read_bytes()), "mask": ("m.png", mask.read_bytes())}


@pytest.fixture
def backend(worker: PictureWorker) -> Here:
    return Here(worker)


def client(
    backend: Here, most: int = 4, token: str | None = None, limits: Limits | None = None
) -> httpx.AsyncClient:
    settings = FrontSettings("M", limits or Limits(megabytes=2), most, token_digest(token))
    transport = httpx.ASGITransport(Front(backend, settings).application(), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def scope(headers: list[tuple[bytes, bytes]]) -> dict[str, object]:
    """Return what an ASGI server says about a request."""
    places = {"path": "/harmonize", "raw_path": b"/harmonize", "root_path": "", "query_string": b""}
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "headers": headers,
    } | places


def error_of(response: httpx.Response) -> dict[str, str]:
    error = response.json()["error"]
    assert set(error) == {"status", "what", "where", "expected", "remedy"}
    assert error.pop("status") == response.status_code
    return error


def test_the_answer_is_what_the_library_makes_of_the_files(
    backend: Here, method: CharmNetMethod, files: dict[str, tuple[str, bytes]]
) -> None:
    async def ask() -> tuple[httpx.Response, str]:
        async with client(backend) as http:
            response = await http.post(
                "/harmonize", files=files, data={"strength": "0.5", "feather": "4", "format": "jpeg"}
            )
            return response, (await http.get("/metrics")).text

    response, metrics = asyncio.run(ask())
    composite, mask = (EncodedPicture(data, name) for name, data in files.values())
    expected = harmonize_encoded(method, composite, mask, "out.jpg", Adjustment(strength=0.5, feather=4))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content == expected.data
    assert 'charmnet_requests_total{status="200"} 1.0' in metrics
    assert "charmnet_requests_held 0.0" in metrics
    assert "charmnet_batch_pictures_count 1.0" in metrics


def test_warnings_are_in_a_header(backend: Here, files: dict[str, tuple[str, bytes]]) -> None:
    soft = np.repeat(decode_mask(files["mask"][1])[..., None] * np.uint8(200), 3, 2)
    grey = {"mask": ("mäsk.png", encode_png(soft))}

    async def ask() -> httpx.Response:
        async with client(backend) as http:
            return await http.post("/harmonize", files=files | grey)

    response = asyncio.run(ask())
    assert response.status_code == 200
    assert response.headers["x-charmnet-warning"].startswith("m?sk.png: ")


def test_what_is_wrong_is_named(backend: Here, files: dict[str, tuple[str, bytes]]) -> None:
    small = {"mask": ("small.png", encode_mask(np.ones((10, 10), np.uint8)))}

    async def ask() -> list[httpx.Response]:
        async with client(backend) as http:
            return [
                await http.post("/harmonize", files=files | small),
                await http.post("/harmonize", content=b"text", headers={"content-type": "text/plain"}),
                await http.post("/harmonize", files=files, headers={"content-encoding": "gzip"}),
                await http.post(
                    "/harmonize", content=b"text", headers={"content-type": "multipart/form-data; boundary=x"}
                ),
                await http.post(
                    "/harmonize", content=b"text", headers={"content-type": "multipart/form-data"}
                ),
                await http.post("/harmonize", files=files, data={"strength": "1" * 1000}),
                await http.get("/other"),
                await http.get("/harmonize"),
            ]

    responses = asyncio.run(ask())
    assert [response.status_code for response in responses] == [422, 415, 415, 422, 422, 422, 404, 405]
    errors = [error_of(response) for response in responses]
    assert errors[0]["where"] == "in.png with small.png"
    assert "of its mask (10, 10)" in errors[0]["what"]
    assert [error["where"] for error in errors[1:]] == [
        "header Content-Type", "header Content-Encoding", "form", "form", "form", "path", "path",
    ]  # fmt: skip
    assert responses[7].headers["allow"] == "POST"


def test_the_token_is_asked_for_before_anything_else(
    backend: Here, files: dict[str, tuple[str, bytes]]
) -> None:
    async def ask() -> list[httpx.Response]:
        async with client(backend, token=TOKEN) as http:
            right = {"authorization": f"Bearer {TOKEN}"}
            return [
                await http.post("/harmonize", content=b"text"),
                await http.get("/metrics", headers={"authorization": "Bearer another token"}),
                await http.post("/harmonize", files=files, headers=right),
                await http.get("/metrics", headers=right),
                await http.get("/healthz"),
            ]

    responses = asyncio.run(ask())
    assert [response.status_code for response in responses] == [401, 401, 200, 200, 200]
    assert responses[0].headers["www-authenticate"] == "Bearer"
    assert error_of(responses[0])["where"] == "header Authorization"
    assert all(TOKEN not in response.text for response in (responses[0], responses[1], responses[3]))
    assert responses[4].json() == {"status": "ok", "model": "M", "replicas": 1}


def test_health_is_that_of_the_replicas(backend: Here) -> None:
    async def ask() -> httpx.Response:
        async with client(backend) as http:
            return await http.get("/healthz")

    backend.ready = 0
    assert asyncio.run(ask()).status_code == 503


def test_beyond_what_is_taken_at_a_time_the_answer_is_503_and_nothing_is_lost(
    backend: Here, files: dict[str, tuple[str, bytes]]
) -> None:
    async def ask() -> tuple[list[httpx.Response], httpx.Response]:
        backend.go.clear()
        async with client(backend, most=3) as http:
            asked = [asyncio.create_task(http.post("/harmonize", files=files)) for _ in range(10)]
            while sum(task.done() for task in asked) < 7:
                await asyncio.sleep(0.01)
            backend.go.set()
            return await asyncio.gather(*asked), await http.post("/harmonize", files=files)

    responses, after = asyncio.run(ask())
    assert sorted(response.status_code for response in responses) == 3 * [200] + 7 * [503]
    refused = [response for response in responses if response.status_code == 503]
    assert {response.headers["retry-after"] for response in refused} == {"1"}
    assert error_of(refused[0])["where"] == "server"
    assert len({response.content for response in responses if response.status_code == 200}) == 1
    assert after.status_code == 200


@pytest.mark.parametrize("declared", [False, True])
def test_a_body_that_is_too_large_is_read_no_further_than_the_limit(backend: Here, declared: bool) -> None:
    """With a length that says so nothing is read, without one as much as the limit, to be thrown away."""
    sent = 0

    async def content() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="composite"; filename="a"\r\n\r\n'
        while True:
            sent += 1 << 16
            yield bytes(1 << 16)

    async def ask() -> httpx.Response:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        if declared:
            headers["content-length"] = str(10 << 20)
        async with client(backend, limits=Limits(megabytes=1)) as http:
            return await http.post("/harmonize", content=content(), headers=headers)

    response = asyncio.run(ask())
    assert response.status_code == 413
    assert error_of(response)["where"] == "body"
    assert response.headers["connection"] == "close"
    assert sent <= (0 if declared else 2 << 20) + (2 << 16)


def test_a_body_that_does_not_arrive_is_waited_for_so_long(
    backend: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "READ_SECONDS", 0.05)
    monkeypatch.setattr(body_module, "_DISCARD_SECONDS", 0.05)

    messages, sent = [{"type": "http.request", "body": b"--x\r\n", "more_body": True}], []

    async def receive() -> dict[str, object]:
        if not messages:
            await asyncio.sleep(30)
        return messages.pop()

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    asyncio.run(Front(backend, FrontSettings("M", Limits(), 1)).application()(scope(FORM), receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_client_that_waits_to_be_asked_sends_nothing(backend: Here) -> None:
    """With `Expect: 100-continue` the server's reading is what asks for the body."""
    sent = []

    async def receive() -> dict[str, object]:
        raise AssertionError("it was asked")

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    headers = [(b"expect", b"100-continue"), (b"content-length", b"1000")]
    settings = FrontSettings("M", Limits(), 1, token_digest(TOKEN))
    asyncio.run(Front(backend, settings).application()(scope(headers), receive, send))
    assert sent[0]["status"] == 401
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["error"]["status"] == 401


def test_a_client_that_leaves_gives_its_place_back(backend: Here) -> None:
    front = Front(backend, FrontSettings("M", Limits(), 1))

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(_: dict[str, object]) -> None:
        pass

    asyncio.run(front.application()(scope(FORM), receive, send))
    assert front._held == 0


def test_a_defect_is_counted_and_answered_without_its_text(
    worker: PictureWorker, files: dict[str, tuple[str, bytes]]
) -> None:
    class Broken(Here):
        async def harmonize(self, job: Job) -> Answer | Problem:
            raise RuntimeError("a secret")

    async def ask() -> tuple[httpx.Response, str]:
        async with client(Broken(worker)) as http:
            return await http.post("/harmonize", files=files), (await http.get("/metrics")).text

    response, metrics = asyncio.run(ask())
    assert response.status_code == 500
    assert error_of(response)["what"] == "a defect of the server"
    assert "secret" not in response.text
    assert 'charmnet_requests_total{status="500"} 1.0' in metrics
