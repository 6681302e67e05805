"""The spool: every appended entry is read once and in order, whatever process ends in between."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.tracking.spool import Spool, SpoolInUseError
from pipelines.tracking.spool_entries import checked_entry


def metric(step: int) -> dict[str, Any]:
    return {"op": "metrics", "step": step, "metrics": {"loss": 1.0}}


def steps(spool: Spool) -> list[int]:
    return [entry.data["step"] for entry in spool.read(10_000) if entry.data]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.one_of(st.integers(1, 30), st.sampled_from(["send", "die", "tear"])), max_size=12))
def test_every_entry_is_read_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, actions: list[int | str]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool, appended, sent = Spool(folder, segment_bytes=200), 0, []
    for action in [*actions, "send"]:
        if isinstance(action, int):
            for _ in range(action):
                assert spool.append(metric(appended))
                appended += 1
        elif action == "send":
            entries = spool.read(7) or []
            sent += [entry.data["step"] for entry in entries if entry.data]
            if entries:
                spool.acknowledge(entries)
        else:
            spool.close()
            if action == "tear":  # a process that died in the middle of a line
                with (
                    sorted(folder.glob("*.jsonl"))[-1].open("ab")
                    if appended
                    else Path("/dev/null").open("ab") as f
                ):
                    f.write(b'{"op": "metr')
            spool = Spool(folder, segment_bytes=200)
    sent += steps(spool)
    assert sent == list(range(appended))
    assert spool.dropped == 0
    spool.close()


def test_room_is_given_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=1000)
    for step in range(200):
        spool.append(metric(step))
    spool.append({"op": "image", "step": 200}, b"x" * 5000, "image.png")
    assert spool.pending_bytes > 15_000
    spool.acknowledge(spool.read(10_000))
    assert spool.pending_bytes == 0
    assert spool.drained
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    assert list((tmp_path / "blobs").iterdir()) == []
    spool.close()


def test_superseded_steps_are_dropped_and_those_by_the_clock_are_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for step in range(10):
        spool.append(metric(step))
    spool.append(metric(1_700_000_000) | {"by_clock": True})
    spool.supersede(6)
    for step in (7, 8):
        spool.append(metric(step))
    spool.close()
    again = Spool(tmp_path)
    assert steps(again) == [0, 1, 2, 3, 4, 5, 6, 1_700_000_000, 7, 8]
    again.close()


def test_more_than_the_quota_is_dropped_and_counted_until_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1000)
    taken = [spool.append(metric(step)) for step in range(40)]
    assert spool.dropped == taken.count(False) > 0
    assert steps(spool) == list(range(taken.count(True)))
    assert not spool.append({"op": "image"}, b"x" * 2000)
    spool.acknowledge(spool.read(10_000))
    assert spool.append(metric(99))
    assert steps(spool) == [99]
    spool.close()


def test_what_travels_with_a_checkpoint_is_taken_up_elsewhere_but_not_twice(tmp_path: Path) -> None:
    here = Spool(tmp_path / "here")
    for step in range(5):
        here.append(metric(step))
    here.append({"op": "image", "step": 5}, b"picture", "image.png")
    here.acknowledge(here.read(2))
    pending = here.pending()
    here.adopt(pending)
    assert steps(here) == [2, 3, 4, 5]
    elsewhere = Spool(tmp_path / "elsewhere")
    elsewhere.adopt(pending)
    assert steps(elsewhere) == [2, 3, 4, 5]
    image = elsewhere.read(10)[-1].data
    assert image is not None
    assert (elsewhere.folder / image["blob"] / "image.png").read_bytes() == b"picture"
    elsewhere.adopt(b"not what pending gives")
    assert elsewhere.dropped == 1
    here.close()
    elsewhere.close()


def test_what_does_not_fit_a_checkpoint_is_left_out_largest_first(tmp_path: Path) -> None:
    here = Spool(tmp_path / "here")
    here.append({"op": "image", "step": 0}, b"x" * 200_000)
    here.append(metric(1))
    elsewhere = Spool(tmp_path / "elsewhere")
    elsewhere.adopt(here.pending(max_bytes=100_000))
    assert steps(elsewhere) == [1]
    here.close()
    elsewhere.close()


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(SpoolInUseError):
        Spool(tmp_path)
    spool.close()
    Spool(tmp_path).close()


def test_a_folder_that_cannot_be_made_drops_and_does_not_raise(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "spool")
    assert not spool.append(metric(1))
    assert spool.dropped == 1
    spool.supersede(0)
    spool.close()


def test_secrets_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", 'planted"secret\\value')
    spool = Spool(tmp_path)
    params = {"uri": "http://user:hunter2hunter2@host:5000/x", "key": 'a planted"secret\\value b'}
    spool.append({"op": "params", "params": params})
    (entry,) = spool.read(1)
    assert entry.data == {"op": "params", "params": {"uri": "http://***@host:5000/x", "key": "a *** b"}}
    spool.close()


@pytest.mark.parametrize("time", ["soon", True, -1, 1 << 60])
def test_a_time_that_no_run_can_begin_at_is_no_entry(time: object) -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        checked_entry({"op": "tags", "time": time})
