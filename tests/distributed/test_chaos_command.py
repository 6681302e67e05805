"""`charmnet chaos` itself, on pictures that it makes: the smallest run that can lose its only worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(620)  # it starts a cluster and three groups of workers: minutes where others compute
def test_a_run_of_one_worker_that_is_killed_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    table = tmp_path / "chaos.json"
    command = (sys.executable, "-m", "pipelines", "chaos")
    size = ("--steps", "16", "--workers", "1", "--times", "1")
    process = subprocess.Popen(
        [*command, "--scenario", "worker-killed", *size, "--json", str(table)],
        env={**os.environ, "CHARMNET_STATE": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=540)
    finally:
        process.terminate()  # it ends its servers, which a test that is cut off has to leave time for
        process.wait(timeout=60)
    assert process.returncode == 0, said
    undisturbed, killed = json.loads(table.read_text())["outcomes"]
    assert undisturbed["ended"] == killed["ended"] == "FINISHED"
    assert (killed["times"], killed["rows_lost"], killed["rows_twice"]) == (1, 0, 0)
    assert (killed["weights"], killed["metrics"]) == ("identical", "complete")
