"""Checkpoints of a run: whole or not there, torn ones passed over, useless ones collected."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
import torch

from charmnet.errors import StorageError, WeightsError
from charmnet.methods import CharmNetMethod
from charmnet.weights import CHECKPOINT_FILE, MODEL_FILE, snapshot
from pipelines.runs.checkpoints import (
    TrainingState,
    Uploader,
    collect_checkpoints,
    newest_metadata,
    register_checkpoint,
    registered_checkpoints,
    restore_newest,
)
from pipelines.runs.run_folder import checkpoint_name
from pipelines.runtime.storage import Location


def saved(run: Location, step: int) -> str:
    state = snapshot(CharmNetMethod(width=8, seed=step), {"step": step})
    register_checkpoint(run, checkpoint_name(step), state, f"unsent at {step}".encode())
    return checkpoint_name(step)


@pytest.fixture
def run(tmp_path: Path) -> Location:
    """Write a run's folder with checkpoints of the steps 5, 10 and 15."""
    path = Location.of(tmp_path / "run")
    for step in (5, 10, 15):
        saved(path, step)
    return path


def cut_short(path: Location) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_the_newest_whole_checkpoint_is_restored_and_torn_ones_are_named(run: Location) -> None:
    messages: list[str] = []
    cut_short(run / checkpoint_name(15) / MODEL_FILE)
    (run / checkpoint_name(10) / CHECKPOINT_FILE).write_bytes(b"{")
    method = CharmNetMethod(width=8, seed=1)
    restored = restore_newest(run, TrainingState(method), messages.append)
    assert restored is not None
    assert (restored.name, restored.metadata["step"]) == (checkpoint_name(5), 5)
    assert restored.pending == b"unsent at 5"
    expected = CharmNetMethod(width=8, seed=5).modules["generator"].state_dict()
    got = method.modules["generator"].state_dict()
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())
    assert [text.split()[0] for text in messages] == [checkpoint_name(15), checkpoint_name(10)]
    assert str(run) in messages[0]


def test_where_none_is_whole_nothing_begins_anew_by_itself(run: Location) -> None:
    for step in (5, 10, 15):
        cut_short(run / checkpoint_name(step) / MODEL_FILE)
    with pytest.raises(WeightsError, match=r"none of the run's checkpoints.*checkpoint-000000015"):
        restore_newest(run, TrainingState(CharmNetMethod(width=8)), lambda text: None)
    assert (
        restore_newest(run.parent / "empty", TrainingState(CharmNetMethod(width=8)), lambda text: None)
        is None
    )


def test_what_is_of_no_use_is_collected(run: Location) -> None:
    (run / "checkpoint-000000020" / MODEL_FILE).write_bytes(b"left by a killed worker")
    (run / "audit" / "log.parquet").write_bytes(b"stays")
    assert collect_checkpoints(run, checkpoint_name(10), keep=1) == [checkpoint_name(10)]
    assert [path.name for path in run.children()] == ["audit", checkpoint_name(10)]
    assert newest_metadata(run) == (checkpoint_name(10), {"step": 10})


def test_a_checkpoint_is_registered_by_its_last_file_and_taken_back_before_it_changes(
    run: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = Location.write_bytes

    def failing(path: Location, data: bytes) -> None:
        written.append(path.name)
        if path.name == CHECKPOINT_FILE:
            raise StorageError("the store went away")
        write(path, data)

    monkeypatch.setattr(Location, "write_bytes", failing)
    for step in (15, 20):
        written.clear()
        with pytest.raises(StorageError):
            saved(run, step)
        assert written[-1] == CHECKPOINT_FILE
    assert registered_checkpoints(run) == [checkpoint_name(5), checkpoint_name(10)]


def test_a_snapshot_is_of_its_moment() -> None:
    method = CharmNetMethod(width=8, seed=0)
    state = snapshot(method, {"step": 1})
    before = dict(state.files())
    with torch.no_grad():
        for parameter in method.generator.parameters():
            parameter.add_(1.0)
    method.scale_learning_rates(0.5)
    assert dict(state.files()) == before
    again = snapshot(method, {"step": 1}, into=state)
    assert dict(again.files()) == dict(snapshot(method, {"step": 1}).files()) != before


def test_uploads_go_on_behind_one_at_a_time_and_tell_of_failure_later() -> None:
    uploader, go, seen = Uploader(), threading.Event(), []

    def upload(name: str) -> None:
        assert go.wait(10)
        seen.append(name)

    uploader.submit(partial(upload, "a"))
    assert seen == []
    threading.Timer(0.1, go.set).start()
    uploader.submit(partial(upload, "b"))
    assert seen[0] == "a"  # it was waited for
    uploader.wait()
    assert seen == ["a", "b"]

    def failing() -> None:
        raise StorageError("full")

    uploader.submit(failing)
    with pytest.raises(StorageError, match="full"):
        uploader.wait()
    uploader.wait()
