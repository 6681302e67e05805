"""infra/environment.sh in shells whose settings get in the way of scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOW = (
    'pwd; echo "${PATH%%:*} ${PYTHONPATH-none} ${BASH_ENV-none} ${PYTHONHOME-none}"; '
    "case $- in *e*) echo exits at once;; esac"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout whose path has a blank and whose environment is current."""
    folder = tmp_path / "a checkout"
    (folder / ".venv").mkdir(parents=True)
    for name in ("infra/environment.sh", "requirements.lock", "pyproject.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    both = b"".join((folder / name).read_bytes() for name in ("requirements.lock", "pyproject.toml"))
    sums = subprocess.run(["cksum"], input=both, capture_output=True, check=True)
    (folder / ".venv" / "installed").write_bytes(sums.stdout)
    return folder


@pytest.mark.parametrize("script", ["infra/environment.sh", "./infra/environment.sh"])
def test_the_shells_settings_change_nothing(checkout: Path, tmp_path: Path, script: str) -> None:
    (tmp_path / "elsewhere" / "infra").mkdir(parents=True)
    (tmp_path / "profile").write_text("set -o noclobber\ncd() { echo mine; builtin cd /; }\n")
    hostile = {
        "CDPATH": str(tmp_path / "elsewhere"),
        "BASH_ENV": str(tmp_path / "profile"),
        "PYTHONPATH": "/elsewhere",
        "PYTHONHOME": "/nowhere",
    }
    done = subprocess.run(
        ["bash", "-c", f"source {script}; {SHOW}"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], **hostile},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(checkout), f"{checkout}/.venv/bin none none none"]
    assert not done.stderr


def test_an_interpreter_that_is_too_old_ends_a_script_and_no_shell(checkout: Path) -> None:
    (checkout / ".venv" / "installed").unlink()
    environment = {"PATH": os.environ["PATH"], "PYTHON": "false"}
    for options, status in (("set -e;", 1), ("", 0)):
        command = f"{options} source infra/environment.sh; echo goes on"
        done = subprocess.run(
            ["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True
        )
        assert done.returncode == status
        assert ("goes on" in done.stdout) == (status == 0)
        assert "false is older than Python 3.11" in done.stderr
