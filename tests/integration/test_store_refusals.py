"""What stores refuse, for good or for a while, and what is deleted in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.commands.cli import main
from pipelines.conversion.build import DatasetBuild
from pipelines.runs.checkpoints import collect_checkpoints
from pipelines.runtime.retry import retry_storage
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import RefusedError
from tests.factories import make_iharmony4
from tests.fixtures.object_store import ObjectStoreForTests
from tests.fixtures.store_gates import Answer, Request, error, gate


@pytest.mark.parametrize("status", [400, 403, 501])
def test_where_many_objects_are_not_deleted_at_once(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def rule(request: Request) -> Answer | None:
        return error(status, "NotImplemented") if request.method == "POST" else None

    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        for name in ("x/1", "x/2", "x1", "x/[1]"):
            (s3_folder / name).write_bytes(b"")
        (s3_folder / "x").delete()
        assert s3_folder.walk_files() == ["x1"]


REFUSALS = {
    "elsewhere": error(301, "PermanentRedirect", "", "<Endpoint>oss.example</Endpoint>"),
    "refused": error(403, "SignatureDoesNotMatch", "The signature does not match."),
    "unknown": error(501, "NotImplemented", "A header you provided is not implemented: x-amz-trailer"),
}


@pytest.mark.parametrize(
    ("answer", "said"),
    [("elsewhere", "oss.example"), ("refused", "access refused"), ("unknown", "checksum")],
)
def test_what_is_refused_is_not_waited_for(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    waited: list[str] = []
    with gate(s3.service.url, lambda _: REFUSALS[answer]) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        acts: list[Callable[[], object]] = [
            s3_folder.read_bytes,
            lambda: s3_folder.write_bytes(b"x"),
            s3_folder.delete,
        ]
        for act in acts:
            with pytest.raises(RefusedError, match=said):
                retry_storage(act, 60, waited.append)
        assert len(opened.requests) <= 6  # of which some ask for the region
    assert not waited


def test_what_cannot_be_removed_is_a_warning(
    s3: ObjectStoreForTests,
    s3_folder: Location,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build = DatasetBuild(s3_folder, {"kind": "pair"})
    build.start()
    (build.parts / "part-00000.json").write_bytes(b"")
    refusal = error(403, "AccessDenied", "Access denied.")
    with gate(s3.service.url, lambda r: refusal if r.method in ("DELETE", "POST") else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        build.clean()
        for step in (1, 2):
            (s3_folder / f"run/checkpoint-{step:09d}/checkpoint.json").write_bytes(b"{}")
        assert collect_checkpoints(s3_folder / "run", "checkpoint-000000002", 1) == ["checkpoint-000000002"]
    assert "_plan.json is no longer needed" in caplog.text
    assert "access refused" in caplog.text
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.service.url)
    collect_checkpoints(s3_folder / "run", "checkpoint-000000002", 1)
    assert (s3_folder / "run").walk_files() == ["checkpoint-000000002/checkpoint.json"]


def test_a_run_deletes_no_checkpoint_of_its_neighbour(s3_folder: Location) -> None:
    for run in ("ab[1]", "ab1"):
        for step in (1, 2):
            (s3_folder / run / f"checkpoint-{step:09d}/checkpoint.json").write_bytes(b"{}")
    collect_checkpoints(s3_folder / "ab[1]", "checkpoint-000000002", 1)
    assert s3_folder.walk_files() == [
        "ab1/checkpoint-000000001/checkpoint.json",
        "ab1/checkpoint-000000002/checkpoint.json",
        "ab[1]/checkpoint-000000002/checkpoint.json",
    ]


def test_a_destination_with_brackets_in_a_store_that_deletes_nothing(
    s3: ObjectStoreForTests,
    s3_folder: Location,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_iharmony4(tmp_path / "source", photographs=2)
    (s3_folder / "exp2/part-00000.parquet").write_bytes(b"a neighbour's")
    command = ["shard", "iharmony4", "--source", str(tmp_path / "source"), "--list", "IHD_train.txt"]
    refusal = error(403, "AccessDenied", "Access denied.")
    with gate(s3.service.url, lambda r: refusal if r.method in ("DELETE", "POST") else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        assert main([*command, "--dest", f"{s3_folder}//./exp[3]/"]) == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.service.url)
    assert "exp[3]/_parts is no longer needed" in caplog.text
    assert main([*command, "--dest", f"{s3_folder}/exp[2]"]) == 0
    assert main(["inspect", "--no-contact-sheet", f"{s3_folder}/exp[2]"]) == 0
    made = ["exp[2]/manifest.json", "exp[2]/part-00000.parquet"]
    assert [path for path in s3_folder.walk_files() if "[3]" not in path] == [
        "exp2/part-00000.parquet",
        *made,
    ]


def test_what_may_pass_is_waited_for(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    refusing = [error(503, "SlowDown"), error(400, "RequestTimeout"), error(500, "InternalError")]
    with gate(s3.service.url, lambda _: refusing.pop() if refusing else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        waited: list[str] = []
        retry_storage(lambda: s3_folder.write_bytes(b"x"), 60, waited.append)
        assert len(waited) == 1
        assert not refusing
