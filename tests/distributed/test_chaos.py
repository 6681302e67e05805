"""Faults played by the command that a user calls, against servers and a cluster of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_a_store_that_often_fails_changes_nothing(tmp_path: Path) -> None:
    options = ("--steps", "8", "--workers", "1", "--scenario", "store-failing")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.chaos", *options, "--json", str(tmp_path / "chaos.json")],
        env={**os.environ, "CHARMNET_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "chaos.json").read_text())
    assert [outcome["scenario"] for outcome in report["outcomes"]] == ["undisturbed", "store-failing"]
    for outcome in report["outcomes"]:
        assert outcome["times"] > 0
        assert outcome["ended"] == "FINISHED"
        assert (outcome["rows_lost"], outcome["rows_twice"], outcome["quarantined"]) == (0, 0, 0)
        assert (outcome["weights"], outcome["metrics"]) == ("identical", "complete")
