"""Behaviour that all commands share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.commands.cli import COMMANDS, main

HELP = Path(__file__).parents[2] / "golden" / "help.txt"
"""Made by `COLUMNS=110 charmnet --help`."""


def test_help_lists_all_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == HELP.read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_describes_itself_and_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: charmnet {command} ")
    assert f"charmnet {command}" in text.split("\n\n", 1)[1]  # an example


@pytest.mark.slow
def test_warnings_reach_the_terminal_after_mlflow_has_silenced_them() -> None:
    code = """
import logging
from pipelines.commands.cli import main
main(["train", "--help-fields"])
import mlflow.pytorch
logging.getLogger("pipelines.tracking").warning("12 bytes did not reach the server")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "\n12 bytes did not reach the server\n" in f"\n{done.stderr}"
