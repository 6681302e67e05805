"""Records and files have spools of their own: neither waits for the other, and both travel together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.tracking.spool import Spool, SpoolInUseError
from pipelines.tracking.spool_pair import SpoolPair


def metrics(step: int) -> dict[str, Any]:
    return {"op": "metrics", "time": 0, "step": step, "metrics": {"loss/total": 1.0}}


def picture(step: int) -> dict[str, Any]:
    return {"op": "image", "time": 0, "step": step, "key": "samples/x", "size": [1, 1]}


def steps(spool: Spool) -> list[int]:
    return [entry.data["step"] for entry in spool.read(100) if entry.data]


def test_files_stand_behind_no_record_and_before_none(tmp_path: Path) -> None:
    spools = SpoolPair(tmp_path)
    for step in (1, 2):
        spools.append(picture(step), b"pix")
        spools.append(metrics(step))
    spools.append({"op": "artifact", "time": 0, "step": 3, "folder": ""}, b"text", "a.txt")
    assert (steps(spools.records), steps(spools.files)) == ([1, 2], [1, 2, 3])
    before = spools.pending_bytes
    spools.records.acknowledge(spools.records.read(100))
    assert spools.records.drained
    assert before > spools.pending_bytes > 3 * 3
    spools.supersede(2)
    spools.close()
    again = SpoolPair(tmp_path)
    assert (steps(again.records), steps(again.files)) == ([], [1, 2])
    again.close()


def test_both_travel_in_a_checkpoint_and_neither_comes_back_to_where_it_lies(tmp_path: Path) -> None:
    spools, other = SpoolPair(tmp_path / "a"), SpoolPair(tmp_path / "b")
    spools.append(picture(1), b"pix")
    spools.append(metrics(2))
    packed = spools.pending()
    spools.adopt(packed)
    assert (steps(spools.records), steps(spools.files)) == ([2], [1])
    other.adopt(packed)
    assert (steps(other.records), steps(other.files)) == ([2], [1])
    (entry,) = other.files.read(1)
    assert entry.data is not None
    assert (other.files.folder / entry.data["blob"] / "blob").read_bytes() == b"pix"
    other.adopt(b"no entries")
    assert other.dropped == 1
    spools.close()
    other.close()


def test_who_holds_the_files_alone_keeps_others_from_both(tmp_path: Path) -> None:
    spools = SpoolPair(tmp_path)
    spools.records.close()
    with pytest.raises(SpoolInUseError):
        SpoolPair(tmp_path)
    spools.close()
    SpoolPair(tmp_path).close()
