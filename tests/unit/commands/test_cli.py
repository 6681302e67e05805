"""What all commands have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest


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
