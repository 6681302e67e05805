"""The version of a release, wherever it is written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import charmnet
from pipelines.commands.cli import main

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_same_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (released, *_) = re.findall(r"^## (\d+\.\d+\.\d+)\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert released == project
    # From the installed metadata: install the project again (pip install -e .) after a change of version.
    assert charmnet.__version__ == project
    assert capsys.readouterr().out == f"charmnet {project}\n"
