"""Spools that version 0.1.0 stored: every later version has to read them."""

import base64
from pathlib import Path

from pipelines.tracking.identity import read_identity
from pipelines.tracking.spool import Spool

UID = "f896374308d44bc686170f9bf6747ab3"
BLOB = "blobs/6e6c13eb62cd491aa7d1d80a12f6d60c"
FIRST_SEGMENT = b"""\
{"op": "tags", "time": 179596145104, "tags": {"git_commit": "0123abc"}}
{"op": "metrics", "time": 179596145104, "step": 1, "metrics": {"loss/total": 1.0}}
{"op": "metrics", "time": 179596145104, "step": 2, "metrics": {"loss/total": 2.0}}
{"op": "metrics", "time": 179596145104, "step": 3, "metrics": {"loss/total": 3.0}}
"""
SECOND_SEGMENT = b"""\
{"op": "metrics", "time": 179596145104, "step": 3, "metrics": {"loss/total": 4.5}}
{"op": "metrics", "time": 179596145104, "step": 179596145, "by_clock": true, "metrics": {"system/cpu": 1.0}}
{"op": "checkpoint", "time": 179596145104, "uri": "s3://b/a/checkpoint-000000003", "step": 3, "metrics": {}}
{"op": "image", "time": 179596145104, "key": "samples/x", "step": 3, "size": [2, 2], "blob": "%s"}
""" % BLOB.encode()
# Of the same entries from step 2 on, as the checkpoint of another spool has them.
PENDING = base64.b85decode(
    b"cmbVJ+irv)5Pk1g7@pe&ga!3&zoTh3fY=gsF@j00@!!jAcY86}ChfdHCg(C|W<g=_zC%@pnxYg;az=`pb8SQ+s3c9P8zH$=n"
    b"xXY>L4E*eZ{z4pK=&DnuD7X0Ww|c}<$Fqa>V{|mn5XX*TV)ICd<Z!DsK7Aak@fGA>^Dii+y6uIbM_>y=cDPoY14dhob1Ld%q"
    b"dup%`idaAM=|RYudrPQ@p*EX>^H)0;@3ASm7_u1Gy9f_GNpUsNa&gUOn5}KCPY4KB^x&8}RE!Gq^W6*<-p+{sfsjuK^Elz`_"
    b"bcnbjgUH7}`BvZi%G6wMn^3t~VFkjIlcU;cxBZE6*);GlNc6k6W_;H9op"
)


def store(folder: Path) -> None:
    (folder / BLOB).mkdir(parents=True)
    (folder / BLOB / "blob").write_bytes(bytes(12))
    (folder / "000001.jsonl").write_bytes(FIRST_SEGMENT)
    (folder / "000002.jsonl").write_bytes(SECOND_SEGMENT)
    (folder / "spool.json").write_bytes(
        b'{"uid": "%s", "sent": [1, 155], "cuts": [[2, 2]], "dropped": 7}' % UID.encode()
    )
    (folder / "run.json").write_bytes(
        b'{"experiment": "charmnet", "run_key": "0f", "run_name": "run a", "tracking_uri": "http://host:5000"}'
    )


def test_unsent_entries_of_a_stored_spool_are_read(tmp_path: Path) -> None:
    store(tmp_path)
    spool = Spool(tmp_path)
    entries = [entry.data for entry in spool.read(100)]
    superseded = entries[1]
    assert superseded is None
    assert [(data["op"], data["step"]) for data in entries if data] == [
        ("metrics", 2), ("metrics", 3), ("metrics", 179596145), ("checkpoint", 3), ("image", 3),
    ]  # fmt: skip
    assert (spool.uid, spool.dropped) == (UID, 7)
    image = entries[-1]
    assert image is not None
    assert (tmp_path / image["blob"] / "blob").read_bytes() == bytes(12)
    spool.acknowledge(spool.read(100))
    assert spool.drained
    spool.close()
    again = Spool(tmp_path)
    assert (again.uid, again.dropped, again.read(1)) == (UID, 7, [])
    again.close()


def test_the_owner_of_a_stored_spool_is_read(tmp_path: Path) -> None:
    store(tmp_path)
    owner = read_identity(tmp_path)
    assert (owner.experiment, owner.run_key, owner.run_name) == ("charmnet", "0f", "run a")
    assert owner.tracking_uri == "http://host:5000"


def test_unsent_entries_of_a_stored_checkpoint_are_taken_over_but_not_by_their_own_spool(
    tmp_path: Path,
) -> None:
    store(tmp_path / "own")
    own = Spool(tmp_path / "own")
    unsent = len(own.read(100))
    own.adopt(PENDING)
    assert len(own.read(100)) == unsent
    own.close()
    other = Spool(tmp_path / "other")
    other.adopt(PENDING)
    entries = [entry.data for entry in other.read(100)]
    assert [data["op"] for data in entries if data] == [
        "metrics",
        "metrics",
        "metrics",
        "checkpoint",
        "image",
    ]
    image = entries[-1]
    assert image is not None
    assert (other.folder / image["blob"] / "blob").read_bytes() == bytes(12)
    assert other.dropped == 0
    other.close()
