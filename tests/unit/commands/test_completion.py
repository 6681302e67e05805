"""Completion in shells: the script does what is typed, and costs commands nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.commands.cli import COMMANDS, main

COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_shtab_charmnet
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _script(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", shell]) == 0
    path = folder / f"charmnet.{shell}"
    path.write_text(capsys.readouterr().out)
    return path


def test_bash_completes_commands_options_methods_and_paths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = _script("bash", tmp_path, capsys)
    (tmp_path / "run.toml").touch()

    def completed(*words: str) -> list[str]:
        command = ["bash", "-c", COMPLETE, "bash", str(script), "charmnet", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert not done.stderr
        return done.stdout.split()

    assert completed("") == list(COMMANDS)
    assert completed("compo") == ["compose", "compose-real"]
    assert completed("harmonize", "--str") == ["--strength"]
    assert completed("train", "steps=4", "--real", "a", "--na") == ["--name"]
    assert completed("train", "--method", "do") == ["dovenet"]
    assert completed("train", "--config", "run") == ["run.toml"]
    assert completed("export", "--to", "s") == ["safetensors"]


def test_zsh_gets_a_script_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = _script("zsh", tmp_path, capsys)
    text = script.read_text()
    assert text.startswith("#compdef charmnet\n")
    assert all(f"    {name}:'" in text for name in COMMANDS)
    assert "--strength" in text
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n", script], check=True)


def test_a_command_that_is_not_asked_to_loads_neither_it_nor_torch() -> None:
    code = """
import sys
from pipelines.commands.cli import main
try:
    main(["--help"])
finally:
    assert not {"shtab", "torch", "numpy", "rich"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
