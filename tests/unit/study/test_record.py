from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.storage import Location
from pipelines.study.record import check_runs, claim
from tests.study_data import planner

SETTINGS = {"scale": "mini", "novel": "car"}


def test_a_study_that_goes_on_keeps_its_key(tmp_path: Path) -> None:
    dest = Location.of(tmp_path / "dest")
    first = claim(dest, "study", SETTINGS, "charmnet", None)
    assert claim(dest, "study", SETTINGS, "charmnet", None).run_key == first.run_key


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    dest = Location.of(tmp_path / "dest")
    claim(dest, "study", SETTINGS, "charmnet", None)
    with pytest.raises(ValueError, match="started differently: scale: mini -> full"):
        claim(dest, "study", {**SETTINGS, "scale": "full"}, "charmnet", None)


def test_runs_that_were_started_otherwise_are_refused(tmp_path: Path) -> None:
    plans = planner(tmp_path, steps=4).plans()
    run = plans[0].last
    storage = Location.of(tmp_path / "dest") / "runs"
    RunFolder(storage / run.name).claim(run.name, run.config, {})
    check_runs(storage, [run])
    longer = planner(tmp_path / "again", steps=5).plans()[0].last
    with pytest.raises(ValueError, match="steps: 4 -> 5"):
        check_runs(storage, [longer])
    wider = type(run)(run.name, run.config.override(["width=24"]), run.uris)
    with pytest.raises(ValueError, match="width: 16 -> 24"):
        check_runs(storage, [wider])
