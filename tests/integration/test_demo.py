"""`charmnet demo` as a person uses it: in Chromium, beside `charmnet harmonize` on the same files."""

from __future__ import annotations

import http.client
import io
import os
import signal
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from charmnet.codecs import decode_mask, decode_rgb, encode_mask, encode_png
from pipelines.commands.cli import main
from pipelines.runtime.ports import free_ports
from pipelines.runtime.retry import wait_until
from tests.fixtures.pretrained import make_pretrained

WAIT = 90_000  # ms: the machine may be busy


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models")
    make_pretrained(folder, "any")
    return str(folder / "any")


@pytest.fixture(scope="module")
def address(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the page, and see that nothing of it stays when it ends."""
    temporary = tmp_path_factory.mktemp("t")
    (port,) = free_ports([0], "127.0.0.1")
    command = [sys.executable, "-m", "pipelines", "demo", "--model", model, "--port", str(port)]
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    log = temporary / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, 200, log.read_text)
        assert process.poll() is None, log.read_text()
        yield log.read_text().splitlines()[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert "Traceback" not in log.read_text()
        assert not list(temporary.glob("charmnet-demo-*"))
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """Open the page, and see that it asked no other host for anything and raised no error."""
    with chromium.new_context(viewport={"width": 1280, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(WAIT)
        requested, errors = [], []
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.get_by_role("button", name="Harmonize", exact=True).wait_for()
        yield page
        hosts = {urlsplit(url).netloc for url in requested if url.startswith(("http", "ws"))}
        assert hosts == {urlsplit(address).netloc}
        assert not errors


def choose(page: Page, name: str, *paths: Path) -> None:
    """Hand files to an input, and wait until they are there."""
    place = page.locator(f"#{name}")
    place.locator("input[type=file]").set_input_files(paths)
    if len(paths) == 1 and name in ("composite", "mask"):
        place.get_by_label("Remove Image").wait_for()
    else:
        expect(place.locator("tr.file")).to_have_count(len(paths))


def click(page: Page, name: str = "Harmonize") -> None:
    page.get_by_role("button", name=name, exact=True).click()


def say(page: Page, text: str, where: str = "one") -> None:
    """Wait for a message."""
    expect(page.locator(f"#{where}-message")).to_contain_text(text, timeout=WAIT)


def set_number(page: Page, name: str, value: str) -> None:
    """Type a value of a slider."""
    number = page.locator(f"#{name} input[type=number]")
    number.fill(value)
    number.press("Enter")


def downloaded(page: Page, name: str) -> bytes:
    with page.expect_download() as download:
        page.locator(f"#{name}").click()
    return Path(download.value.path()).read_bytes()


def harmonized(model: str, tmp_path: Path, composite: Path, mask: Path, out: str, *options: str) -> bytes:
    """Return what the command makes of the files."""
    command = ["harmonize", "--model", model, "--composite", str(composite), "--mask", str(mask)]
    assert main([*command, "--out", str(tmp_path / out), *options]) == 0
    return (tmp_path / out).read_bytes()


def test_files_sliders_and_downloads(page: Page, model: str, example_files: Path, tmp_path: Path) -> None:
    choose(page, "composite", example_files / "clear.png")
    choose(page, "mask", example_files / "mask.png")
    click(page)
    say(page, "clear-harmonized.png is ready")
    full = downloaded(page, "one-download")
    assert full == harmonized(
        model, tmp_path, example_files / "clear.png", example_files / "mask.png", "full.png"
    )
    with Image.open(io.BytesIO(full)) as result, Image.open(example_files / "clear.png") as composite:
        assert result.info["icc_profile"] == composite.info["icc_profile"]
        assert (np.array(result)[..., 3] == np.array(composite)[..., 3]).all()

    set_number(page, "one-strength", "0.5")
    page.locator("#one-feather input[type=range]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#one-feather input[type=number]")).to_have_value("3")
    page.locator("#one-format").get_by_label("JPEG").check()
    say(page, "clear-harmonized.jpg is ready")
    click(page)  # after all that changed before
    say(page, "transparent")
    options = ("--strength", "0.5", "--feather", "3")
    expected = harmonized(
        model, tmp_path, example_files / "clear.png", example_files / "mask.png", "half.jpg", *options
    )
    wait_until(lambda: downloaded(page, "one-download") == expected, 60, lambda: "other bytes")

    slider = page.locator("#one-slider")
    handle = slider.get_by_test_id("slider")
    start = handle.bounding_box()
    middle = start["x"] + start["width"] / 2, start["y"] + start["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 60, middle[1], steps=4)
    page.mouse.up()
    assert handle.bounding_box()["x"] < start["x"] - 30
    assert slider.locator("img").count() == 2


def test_a_painted_mask(page: Page, model: str, example_files: Path, tmp_path: Path) -> None:
    choose(page, "composite", example_files / "dusk.png")
    page.get_by_label("painted here").check()
    click(page)
    say(page, "nothing is painted yet")
    box = page.locator("#editor canvas").first.bounding_box()
    x, y = box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.55
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 20, steps=8)
    page.mouse.up()
    click(page)
    say(page, "dusk-harmonized.png is ready")
    mask = tmp_path / "painted.png"
    mask.write_bytes(downloaded(page, "mask-download"))
    painted = decode_mask(mask.read_bytes())
    assert painted.shape == (360, 480)
    assert 0.005 < painted.mean() < 0.2
    assert cv2.connectedComponents(painted)[0] == 2  # the background and one stroke
    expected = harmonized(model, tmp_path, example_files / "dusk.png", mask, "out.png")
    assert downloaded(page, "one-download") == expected


def test_ten_pictures_at_once(page: Page, model: str, example_files: Path, tmp_path: Path) -> None:
    pictures = [example_files / f"n{number}.jpg" for number in range(10)]
    page.get_by_role("tab", name="Several pictures").click()
    (example_files / "bad.jpg").write_bytes(b"x")
    choose(page, "composites", *pictures, example_files / "bad.jpg")
    choose(page, "masks", example_files / "mask.png")
    click(page, "Harmonize all")
    say(page, "10 harmonized, 1 failed", "several")
    say(page, "bad.jpg: 1 bytes that are no picture", "several")
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "all-download"))) as archive:
        assert len(archive.namelist()) == 10
        for picture in (pictures[0], pictures[9]):
            expected = harmonized(model, tmp_path, picture, example_files / "mask.png", "out.png")
            assert archive.read(f"{picture.stem}-harmonized.png") == expected
    expect(page.locator("#results tr.file")).to_have_count(10)
    before = page.locator("#several-slider img").first.get_attribute("src")
    page.locator("#chosen input").click()
    page.get_by_role("option", name="n4-harmonized.png").click()
    expect(page.locator("#several-slider img").first).not_to_have_attribute("src", before, timeout=WAIT)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a black PNG of one bit a pixel, with further chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    compressor = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    content = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in content
    )


def bad_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Return the content of bad composites by name, and a part of what is said about each."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(50_000_000))
    whole = (folder / "dusk.png").read_bytes()
    return {
        "text.png": (b"no picture", "text.png: 10 bytes that are no picture"),
        "huge.png": (png(20_000, 10_000), "178,956,970"),
        "claims.png": (
            png(16, 16)[:16] + struct.pack(">II", 12_000, 12_000) + png(16, 16)[24:],
            "claims.png",
        ),
        "zip.png": (stream.getvalue(), "that are no picture"),
        "cut.png": (whole[: len(whole) // 2], "cut.png"),
        "small.png": (encode_png(np.zeros((36, 48, 3), np.uint8)), "expected the same"),
    }


def test_bad_files_are_answered_and_nothing_falls_over(
    page: Page, model: str, example_files: Path, tmp_path: Path
) -> None:
    click(page)
    say(page, "there is no picture yet")
    choose(page, "mask", example_files / "mask.png")
    for name, (content, message) in bad_files(example_files).items():
        (tmp_path / name).write_bytes(content)
        choose(page, "composite", tmp_path / name)
        click(page)
        say(page, message)
        page.locator("#composite").get_by_label("Remove Image").click()
    # Texts that inflate are left out, and the picture is taken.
    text = b"t\0\0" + zlib.compress(bytes(100_000_000), 9)
    (tmp_path / "texts.png").write_bytes(png(480, 360, (b"zTXt", text)))
    choose(page, "composite", tmp_path / "texts.png")
    click(page)
    say(page, "texts-harmonized.png is ready")
    expected = harmonized(model, tmp_path, tmp_path / "texts.png", example_files / "mask.png", "out.png")
    assert downloaded(page, "one-download") == expected
    (tmp_path / "empty.png").write_bytes(encode_mask(np.zeros((360, 480), np.uint8)))
    choose(page, "mask", tmp_path / "empty.png")
    click(page)
    say(page, "the mask has no foreground")


def test_people_at_once_each_get_their_own(
    chromium: Browser, address: str, model: str, example_files: Path, tmp_path: Path
) -> None:
    """Each in a context of its own: of one, Chromium opens six connections to a host; a page keeps one."""
    contexts = [chromium.new_context() for _ in range(3)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.set_default_timeout(WAIT)
        page.goto(address)
    for number, page in enumerate(pages):
        choose(page, "composite", example_files / f"n{number}.jpg")
        choose(page, "mask", example_files / "mask.png")
    for page in pages:
        click(page)
    for number, page in enumerate(pages):
        say(page, f"n{number}-harmonized.png is ready")
        picture, mask = example_files / f"n{number}.jpg", example_files / "mask.png"
        assert downloaded(page, "one-download") == harmonized(model, tmp_path, picture, mask, f"{number}.png")
    for context in contexts:
        context.close()


def test_keyboard_and_a_small_screen(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    button = page.get_by_role("button", name="Harmonize", exact=True)
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.type"))
        if button.evaluate("button => button === document.activeElement"):
            break
    assert {"radio", "range"} <= reached
    assert button.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    say(page, "there is no picture yet")
    page.locator("#one-message [role=alert]").wait_for()
    box = button.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360


def test_a_picture_is_pasted(
    chromium: Browser, address: str, model: str, example_files: Path, tmp_path: Path
) -> None:
    with chromium.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.goto(address)
        page.get_by_role("button", name="Harmonize", exact=True).wait_for()
        page.evaluate(
            "async bytes => navigator.clipboard.write([new ClipboardItem({'image/png':"
            " new Blob([new Uint8Array(bytes)], {type: 'image/png'})})])",
            list((example_files / "dusk.png").read_bytes()),
        )
        page.locator("#composite").get_by_label("Paste from clipboard").click()
        page.locator("#composite img").wait_for()
        choose(page, "mask", example_files / "mask.png")
        click(page)
        say(page, "is ready")
        result = downloaded(page, "one-download")
    expected = harmonized(model, tmp_path, example_files / "dusk.png", example_files / "mask.png", "out.png")
    assert (decode_rgb(result) == decode_rgb(expected)).all()


def test_other_hosts_and_loads_are_refused(address: str) -> None:
    parts = urlsplit(address)
    for host, status in ((parts.netloc, 200), ("evil.example", 400)):
        connection = http.client.HTTPConnection(parts.netloc)
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        assert response.status == status
        page = response.read().decode()
        connection.close()
        if status == 200:
            assert "default-src 'self'" in response.headers["content-security-policy"]
            assert "fonts.googleapis" not in page
