"""The data that scenarios damage, what counts as a problem, the table, and an outage in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.chaos.data import change_composite, copied, flip_bytes, made, publish
from pipelines.chaos.service_faults import mlflow_away
from pipelines.chaos.table import COLUMNS, cells, markdown, print_table
from pipelines.chaos.verdict import Evidence, Outcome, Played, Wanted, judge
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return made(Domain.REAL, Location.of(tmp_path_factory.mktemp("made")))


@pytest.fixture
def damaged(pairs: Dataset, tmp_path: Path) -> Dataset:
    return publish(pairs, Location.of(tmp_path / "damaged"))


def ids(dataset: Dataset) -> list[str]:
    return [
        name
        for shard, group, _ in dataset.manifest.groups()
        for name in dataset.read_row_group(shard, group)["id"].to_pylist()
    ]


def test_made_data_are_whole_and_a_copy_is_the_same_data_set(pairs: Dataset, tmp_path: Path) -> None:
    scenes = made(Domain.RENDERED, Location.of(tmp_path / "scenes"))
    copy = copied(str(pairs.location), Domain.REAL, Location.of(tmp_path / "copy"))
    assert scenes.manifest.samples == 40
    assert copy.manifest.digest == pairs.manifest.digest
    assert ids(copy) == ids(pairs)
    with pytest.raises(ValueError, match="expected parquet shards of the rendered domain"):
        copied(str(pairs.location), Domain.RENDERED, Location.of(tmp_path / "other"))


def test_flipped_bytes_leave_a_shard_of_the_same_size_that_cannot_be_read(damaged: Dataset) -> None:
    place = damaged.location / damaged.manifest.shards[1].path
    before = place.read_bytes()
    flip_bytes(damaged, (1, 0, 3))
    after = place.read_bytes()
    assert len(after) == len(before)
    assert 0 < sum(a != b for a, b in zip(before, after, strict=True)) <= 16
    damaged.read_row_group(0, 0)
    with pytest.raises(DataError, match="corrupt"):
        damaged.read_row_group(1, 0)


def test_one_composite_is_changed_and_nothing_else(pairs: Dataset, damaged: Dataset) -> None:
    name = change_composite(damaged, (1, 0, 3), lambda picture: picture[:50])
    changed = Dataset.open(damaged.location)
    assert changed.manifest.samples == pairs.manifest.samples
    assert ids(changed) == ids(pairs)
    for shard, group, _ in changed.manifest.groups():
        rows = zip(
            changed.read_row_group(shard, group).to_pylist(),
            pairs.read_row_group(shard, group).to_pylist(),
            strict=True,
        )
        differing = [mine["id"] for mine, whole in rows if mine != whole]
        assert differing == ([name] if shard == 1 else [])


def outcome(**fields: object) -> Outcome:
    whole = {
        "scenario": "store-down",
        "fault": "store down",
        "times": 1,
        "ended": "FINISHED",
        "rows_lost": 0,
        "rows_twice": 0,
        "weights": "identical",
        "metrics": "complete",
        "quarantined": 0,
        "seconds": 50.4,
        "seconds_lost": 31.6,
    }
    return Outcome(**{**whole, **fields})  # type: ignore[arg-type]


def test_a_line_of_the_table_says_what_came_of_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert dict(zip(COLUMNS, cells(outcome()), strict=True)) == {
        "fault": "store down",
        "times": "1",
        "run ended": "FINISHED",
        "rows lost": "0",
        "rows twice": "0",
        "weights": "identical",
        "metrics": "complete",
        "quarantined": "0",
        "seconds lost": "32",
    }
    failed = outcome(ended="FAILED", rows_lost=None, seconds_lost=None, problems=["ended FAILED: no store"])
    assert cells(failed)[2:4] == ("FAILED", "")
    print_table([outcome(), failed], "two")
    assert "store-down: ended FAILED: no store" in capsys.readouterr().out
    assert markdown([failed]).splitlines()[1:] == [
        "|" + " --- |" * len(COLUMNS),
        "| store down | 1 | FAILED |  | 0 | identical | complete | 0 |  |",
    ]


STEPS, SUCCESS = 4, Wanted()
WEIGHTS = {"weight": torch.ones(2)}
POINTS = {"loss/total": Counter(range(1, STEPS + 1))}


def found(**fields: object) -> Evidence:
    """What a run leaves that nothing happened to."""
    report = SimpleNamespace(holds=True, domains=[SimpleNamespace(missing=0, twice=0)])
    whole = {"step": STEPS, "weights": WEIGHTS, "audit": report, "points": POINTS, "status": "FINISHED"}
    return Evidence(**{**whole, "dropped": 0, "quarantined": 0, **fields})  # type: ignore[arg-type]


def judged(times: int = 1, succeeded: bool = True, wanted: Wanted = SUCCESS, **fields: object) -> list[str]:
    """The problems of a run of which this was found, beside an undisturbed one."""
    run = SimpleNamespace(succeeded=succeeded, error="no store", seconds=9.0, log=lambda: "shard-1 is gone")
    lab = SimpleNamespace(options=SimpleNamespace(steps=STEPS))
    played = Played(run, times, wanted)  # type: ignore[arg-type]
    return judge(lab, "one", "a fault", played, found(**fields), (found(), 5.0)).problems  # type: ignore[arg-type]


def test_a_run_that_comes_to_what_is_wanted_has_no_problems() -> None:
    assert judged() == []
    fails = Wanted(succeeds=False, names=("shard-1",))
    assert judged(succeeded=False, wanted=fails, status="FAILED", step=0, weights={}, audit=None) == []
    assert judged(wanted=Wanted(same_weights=False, quarantines=True), weights={}, quarantined=2) == []
    assert judged(wanted=Wanted(drops=True), points={}, dropped=4) == []


@pytest.mark.parametrize(
    ("problem", "fields"),
    [
        ("ended FAILED: no store", {"succeeded": False}),
        ("MLflow says RUNNING", {"status": "RUNNING"}),
        ("the fault was never injected", {"times": 0}),
        (
            "the audit does not hold",
            {"audit": SimpleNamespace(holds=False, domains=[SimpleNamespace(missing=1, twice=0)])},
        ),
        (
            "the weights differ: differ by 6.0e-08",
            {"weights": {"weight": torch.ones(2) - torch.tensor([0, 2.0**-24])}},
        ),
        ("the weights differ: other networks", {"weights": {}}),
        ("2 samples were quarantined", {"quarantined": 2}),
        ("0 samples were quarantined", {"wanted": Wanted(quarantines=True)}),
        ("1 points of metrics are missing", {"points": {"loss/total": Counter(range(1, STEPS))}}),
        ("1 points of metrics stand twice", {"points": {"loss/total": POINTS["loss/total"] + Counter([2])}}),
        ("3 entries of the tracker were dropped", {"dropped": 3}),
        ("the log does not name shard-7", {"wanted": Wanted(names=("shard-7",))}),
    ],
)
def test_what_is_wanted_and_does_not_come_about_is_a_problem(problem: str, fields: dict[str, object]) -> None:
    assert judged(**fields)[0] == problem  # type: ignore[arg-type]


def test_a_run_stands_still_until_mlflow_is_back() -> None:
    happened: list[str] = []

    def note(what: str) -> Callable[..., None]:
        return lambda *step, **_: happened.append(" ".join([what, *map(str, step)]))

    worker = SimpleNamespace(suspend=note("suspend"), resume=note("resume"))
    run = SimpleNamespace(wait_for_step=note("step"), wait_for_end=note("end"))
    mlflow = SimpleNamespace(start=note("start"), stop=note("stop"))
    options = SimpleNamespace(steps=16)
    lab = SimpleNamespace(options=options, start=lambda _: run, workers=lambda: [worker], tracking=mlflow)
    mlflow_away(lab)  # type: ignore[arg-type]
    assert happened == ["step 4", "stop", "step 8", "suspend", "start", "resume", "end"]
