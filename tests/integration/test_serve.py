"""`charmnet serve` as a client uses it: one server for all tests, which the last one ends.

Beside it stands `charmnet harmonize` on the same files.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from charmnet.codecs import encode_mask
from pipelines.commands.cli import main
from pipelines.runtime.ports import free_ports
from pipelines.runtime.retry import wait_until
from tests.fixtures.pretrained import make_pretrained

TOKEN = "a token of this server"
MOST = 12  # requests at a time


class Server:
    """A running server, its client, and files to send."""

    def __init__(
        self, process: subprocess.Popen, address: str, files: Path, model: str, temporary: Path
    ) -> None:
        self.process = process
        self.files = files
        self.model = model
        self.temporary = temporary
        self.http = httpx.Client(
            base_url=address,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=120,
            limits=httpx.Limits(max_connections=100),
        )

    def send(self, composite: str, mask: str = "mask.png", **fields: str) -> httpx.Response:
        """Ask for a picture."""
        files = {
            field: (name, (self.files / name).read_bytes())
            for field, name in (("composite", composite), ("mask", mask))
        }
        return self.http.post("/harmonize", files=files, data=fields)

    def expected(self, composite: str, suffix: str = ".png", *options: str) -> bytes:
        """Return what the command writes."""
        out = self.files / f"expected-{composite}{'-'.join(options)}{suffix}"
        if not out.exists():
            command = ["harmonize", "--model", self.model, "--mask", str(self.files / "mask.png")]
            command += ["--composite", str(self.files / composite), "--out", str(out), *options]
            assert main(command) == 0
        return out.read_bytes()

    def replica(self) -> psutil.Process:
        """Return a replica's process."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if "ServeReplica" in " ".join(child.cmdline()))

    def is_healthy(self) -> bool:
        response = self.http.get("/healthz")
        return response.status_code == 200 and response.json()["replicas"] == 1


@pytest.fixture(scope="module")
def files(example_files: Path) -> Path:
    """Add bad ones to the example's pictures and mask."""
    (example_files / "small.png").write_bytes(encode_mask(np.ones((90, 90), np.uint8)))
    Image.new("1", (20_000, 10_000)).save(example_files / "huge.png")
    with zipfile.ZipFile(example_files / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(50_000_000))
    (example_files / "empty.png").write_bytes(b"")
    return example_files


@pytest.fixture(scope="module")
def server(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models, temporary = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("t")
    make_pretrained(models, "any")
    (port,) = free_ports([0], "127.0.0.1")
    command = [
        sys.executable,
        "-m",
        "pipelines",
        "serve",
        "--model",
        str(models / "any"),
        "--port",
        str(port),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "CHARMNET_SERVE_TOKEN": TOKEN}
    log = files / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--max-requests", str(MOST)],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, 250, log.read_text)
        assert process.poll() is None, log.read_text()
        address = log.read_text().splitlines()[0]
        server = Server(process, address, files, str(models / "any"), temporary)
        with server.http:
            yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("image_format", "suffix", "fields"),
    [("png", ".png", {}), ("jpeg", ".jpg", {"strength": "0.5", "feather": "4"}), ("webp", ".webp", {})],
)
def test_the_answer_is_what_the_command_writes(
    server: Server, image_format: str, suffix: str, fields: dict[str, str]
) -> None:
    options = [text for name, value in fields.items() for text in (f"--{name}", value)]
    response = server.send("clear.png", format=image_format, **fields)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"image/{image_format}"
    assert response.content == server.expected("clear.png", suffix, *options)
    result = Image.open(io.BytesIO(response.content))
    assert "icc_profile" in result.info
    if suffix == ".jpg":
        assert "transparent" in response.headers["x-charmnet-warning"]
    else:
        assert result.getchannel("A").getextrema() == (90, 255)


def test_ten_at_once_each_get_their_own(server: Server) -> None:
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(lambda number: server.send(f"n{number}.jpg"), range(10)))
    assert [response.status_code for response in responses] == 10 * [200]
    for number, response in enumerate(responses):
        assert response.content == server.expected(f"n{number}.jpg")
    metrics = server.http.get("/metrics").text
    assert "charmnet_requests_held 0.0" in metrics


@pytest.mark.parametrize(
    ("composite", "mask", "status", "where"),
    [
        ("bomb.zip", "mask.png", 422, "composite (bomb.zip)"),
        ("empty.png", "mask.png", 422, "composite (empty.png)"),
        ("huge.png", "mask.png", 413, "composite (huge.png)"),
        ("n0.jpg", "huge.png", 413, "mask (huge.png)"),
        ("n0.jpg", "small.png", 422, "n0.jpg with small.png"),
    ],
)
def test_bad_files_are_named_and_nothing_falls_over(
    server: Server, composite: str, mask: str, status: int, where: str
) -> None:
    with ThreadPoolExecutor(5) as pool:
        responses = list(pool.map(lambda _: server.send(composite, mask), range(5)))
    for response in responses:
        error = response.json()["error"]
        assert (response.status_code, error["status"], error["where"]) == (status, status, where)
        assert all(error.values())
    assert server.send("n0.jpg").content == server.expected("n0.jpg")


def test_a_body_that_is_compressed_endless_or_cut_short(server: Server) -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}
    zipped = gzip.compress(bytes(1 << 20))
    response = server.http.post("/harmonize", content=zipped, headers=form | {"content-encoding": "gzip"})
    assert response.status_code == 415

    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="mask"; filename="a"\r\n\r\n'
        while True:
            sent += 1 << 20
            yield bytes(1 << 20)

    with contextlib.suppress(httpx.TransportError):  # it goes on writing when the connection is closed
        assert server.http.post("/harmonize", content=endless(), headers=form).status_code == 413
    assert sent < 300 << 20  # 64 MiB are read, as many thrown away, and some lie in buffers
    response = server.http.post("/harmonize", content=b"--x\r\n", headers=form)
    assert (response.status_code, response.json()["error"]["where"]) == (422, "form")


def test_the_token_is_needed_and_in_no_place_where_others_could_read_it(server: Server) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Bearer another token here"}):
        assert server.http.post("/harmonize", headers=headers).status_code == 401
        assert server.http.get("/metrics", headers=headers).status_code == 401
        assert server.http.get("/healthz", headers=headers).json()["status"] == "ok"
    top = psutil.Process(server.process.pid)
    for process in top.children(recursive=True):
        assert TOKEN not in str(process.environ())
    logs = [
        path
        for path in server.temporary.rglob("*")
        if path.is_file() and path.suffix in (".log", ".err", ".out")
    ]
    assert logs
    assert all(TOKEN not in path.read_text(errors="replace") for path in logs)


def test_an_address_that_is_taken_is_said_before_anything_starts(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(server.http.base_url.port)
    assert main(["serve", "--model", server.model, "--port", port]) == 1
    assert f"--port {port}: cannot be listened on" in capsys.readouterr().err


def test_overload_is_answered_and_loses_nothing(server: Server) -> None:
    expected = server.expected("n0.jpg")
    with ThreadPoolExecutor(60) as pool:
        responses = list(pool.map(lambda _: server.send("n0.jpg"), range(120)))
    refused = [response for response in responses if response.status_code == 503]
    assert refused
    assert {response.headers["retry-after"] for response in refused} == {"1"}
    taken = [response for response in responses if response.status_code == 200]
    assert len(taken) >= MOST
    assert len(taken) + len(refused) == 120
    assert all(response.content == expected for response in taken)
    assert server.is_healthy()


def test_a_replica_that_is_lost_loses_no_request(server: Server) -> None:
    lost = server.replica()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.send, f"n{number}.jpg") for number in range(8)]
        lost.kill()
        responses = [future.result() for future in asked]
    assert [response.status_code for response in responses] == 8 * [200]
    for number, response in enumerate(responses):
        assert response.content == server.expected(f"n{number}.jpg")
    assert server.replica().pid != lost.pid


def test_sigterm_finishes_what_has_begun_and_leaves_nothing(server: Server) -> None:
    started = psutil.Process(server.process.pid).children(recursive=True)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.send, f"n{number}.jpg") for number in range(8)]
        wait_until(
            lambda: "charmnet_requests_held 8.0" in server.http.get("/metrics").text or asked[0].done(),
            60,
            str,
        )
        server.process.send_signal(signal.SIGTERM)
        responses = [future.result() for future in asked]
    assert [response.status_code for response in responses] == 8 * [200]
    assert server.process.wait(90) == 143
    log = (server.files / "log").read_text()
    assert "stopped by SIGTERM" in log
    assert "/pipelines/" not in log  # no traceback of this project; Serve logs some of its own
    assert TOKEN not in log
    assert not list(server.temporary.glob("charmnet-serve-*"))
    _, alive = psutil.wait_procs(started, 30)
    assert not alive
    with pytest.raises(httpx.ConnectError):
        server.http.get("/healthz")
