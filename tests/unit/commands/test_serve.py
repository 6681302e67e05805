"""What `charmnet serve` refuses before it starts anything."""

from __future__ import annotations

import os
import sys

import pytest

from pipelines.commands.cli import main
from pipelines.commands.serve import TOKEN_VARIABLE, _url

TOKEN = "a token of its own"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--replicas", "0"], "--replicas 0: expected N or MIN:MAX"),
        (["--replicas", "3:2"], "--replicas 3:2"),
        (["--replicas", ":2"], "--replicas :2"),
        (["--replicas", "1:2:3"], "--replicas 1:2:3"),
        (["--port", "70000"], "--port 70000: expected 1 to 65535"),
        (["--max-batch", "0"], "--max-batch 0"),
        (["--max-requests", "-1"], "--max-requests -1"),
        (["--max-megabytes", "nan"], "--max-megabytes nan"),
        (["--max-megapixels", "0"], "--max-megapixels 0"),
        (["--host", "0.0.0.0"], f"set {TOKEN_VARIABLE}"),
        (["--host", "example.org"], f"set {TOKEN_VARIABLE}"),
    ],
)
def test_options_that_are_wrong_are_named(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert main(["serve", "--model", "none", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_token_that_is_too_short_is_refused_and_no_process_gets_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "tooshort")
    assert main(["serve", "--model", "none"]) == 2
    message = capsys.readouterr().err
    assert f"{TOKEN_VARIABLE}: the token has 8 characters" in message
    assert "tooshort" not in message
    assert TOKEN_VARIABLE not in os.environ


def test_without_the_extra_the_command_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pipelines.serving.front", None)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert main(["serve", "--model", "none", "--host", "0.0.0.0"]) == 1
    assert "pip install 'charmnet[serve]'" in capsys.readouterr().err


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert _url("::1", 8000) == "http://[::1]:8000"
    assert _url("127.0.0.1", 8000) == "http://127.0.0.1:8000"
