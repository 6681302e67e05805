"""What stores demand, each shown by a small proxy before a real one; every client is told the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from botocore.credentials import Credentials

from charmnet.errors import StorageError
from pipelines.commands.cli import main
from pipelines.conversion.build import DatasetBuild
from pipelines.runs.checkpoints import collect_checkpoints
from pipelines.runtime import s3_store
from pipelines.runtime.retry import retry_storage
from pipelines.runtime.s3_settings import read_settings
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import RefusedError
from tests.factories import make_iharmony4
from tests.fixtures.object_store import ObjectStoreForTests
from tests.fixtures.store_gates import (
    Answer,
    Request,
    Rule,
    certificates,
    demand_region,
    error,
    gate,
    sign_anew,
)

DEAD = "http://127.0.0.1:9"
"""Address where nothing listens."""


@pytest.fixture
def place(s3: ObjectStoreForTests, monkeypatch: pytest.MonkeyPatch) -> Location:
    """Return a folder in the store that no other test uses; what a test sets is undone."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    return Location.of(s3.prefix())


def _keys(store: ObjectStoreForTests) -> Credentials:
    environment = store.service.environment()
    return Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])


def _use(place: Location) -> None:
    """Do all that commands do in a store."""
    file = place / "a folder/file"
    assert not file.exists()  # the first request has an answer without a body
    file.write_bytes(b"0123456789")
    (place / "a folder/other").write_bytes(b"")
    assert file.exists()
    assert (place / "a folder").exists()
    assert file.size_bytes() == 10
    assert file.read_bytes() == b"0123456789"
    assert file.read_range(8, 10) == b"89"
    assert file.read_range(10, 10) == b""
    with file.random_access() as stream:
        assert (stream.size(), stream.read_at(2, 4)) == (10, b"45")
    assert [child.name for child in (place / "a folder").children()] == ["file", "other"]
    assert place.walk_files() == ["a folder/file", "a folder/other"]
    (place / "a folder").delete()
    assert place.walk_files() == []


@pytest.mark.parametrize("in_header", [True, False])
def test_a_region_is_learned_from_the_store(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch, in_header: bool
) -> None:
    with gate(s3.service.url, demand_region("mars-north-1", in_header=in_header)) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        _use(place)
        wrong = [r for r in opened.requests if "/us-east-1/" in r.headers["authorization"]]
        assert len(wrong) <= 3
        monkeypatch.setenv("AWS_REGION", "mars-north-1")
        before = len(opened.requests)
        _use(place)
        assert not [r for r in opened.requests[before:] if "/us-east-1/" in r.headers["authorization"]]


def test_tls_of_a_private_authority(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, authority = certificates(tmp_path)
    with gate(s3.service.url, context=context) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        with pytest.raises(RefusedError, match=r"certificate is not trusted.*AWS_CA_BUNDLE"):
            place.exists()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
        with pytest.raises(RefusedError, match="AWS_CA_BUNDLE"):
            place.exists()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
        _use(place)


@pytest.fixture
def host_style(s3: ObjectStoreForTests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rule:
    """Return the rule of a store behind a proxy that wants the bucket in the host's name."""
    pass_on = sign_anew(s3.service.url, _keys(s3), bucket="charmnet")
    config = tmp_path / "config"
    config.write_text("[profile other]\ns3 =\n  addressing_style = virtual\n[default]\nregion = us-east-1\n")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example")

    def rule(request: Request) -> Answer | None:
        if request.headers["host"] == "charmnet.store.example" and request.target.startswith("http://"):
            return pass_on(request)
        message = "The bucket you are attempting to access must be addressed using OSS third level domain."
        return error(403, "SecondLevelDomainForbidden", message)

    return rule


def test_hosts_with_the_bucket_in_them_and_a_proxy(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch, host_style: Rule
) -> None:
    with gate(s3.service.url, host_style) as opened:
        monkeypatch.setenv("http_proxy", opened.url)
        with pytest.raises(RefusedError, match="addressing_style = virtual"):
            place.exists()
        monkeypatch.setenv("AWS_PROFILE", "other")
        _use(place)
    monkeypatch.setenv("http_proxy", DEAD)
    with pytest.raises(StorageError, match=r"the proxy does not answer.*no_proxy"):
        place.exists()


def test_mlflow_is_told_the_same(
    s3: ObjectStoreForTests,
    place: Location,
    monkeypatch: pytest.MonkeyPatch,
    host_style: Rule,
    tmp_path: Path,
) -> None:
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    (tmp_path / "artifact").write_bytes(b"an artifact")
    monkeypatch.setenv("AWS_PROFILE", "other")
    with gate(s3.service.url, host_style) as opened:
        monkeypatch.setenv("http_proxy", opened.url)
        for name, value in read_settings().mlflow_environment().items():
            monkeypatch.setenv(name, value)
        S3ArtifactRepository(str(place)).log_artifact(str(tmp_path / "artifact"))
        assert (place / "artifact").read_bytes() == b"an artifact"


def test_no_proxy_leads_to_this_machine(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, DEAD)
    _use(place)


@pytest.mark.parametrize("status", [400, 403, 501])
def test_where_many_objects_are_not_deleted_at_once(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def rule(request: Request) -> Answer | None:
        return error(status, "NotImplemented") if request.method == "POST" else None

    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        for name in ("x/1", "x/2", "x1", "x/[1]"):
            (place / name).write_bytes(b"")
        (place / "x").delete()
        assert place.walk_files() == ["x1"]


def test_a_public_bucket_needs_no_keys(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_on = sign_anew(s3.service.url, _keys(s3))
    (place / "public").write_bytes(b"for all")

    def rule(request: Request) -> Answer:
        if "authorization" in request.headers or request.method == "PUT":
            return error(403, "AccessDenied", "Access denied.")
        return pass_on(request)

    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        with pytest.raises(RefusedError, match="access refused"):
            (place / "public").read_bytes()
        monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "true")
        assert (place / "public").read_bytes() == b"for all"
        for name in ("AWS_NO_SIGN_REQUEST", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        assert place.walk_files() == ["public"]
        with pytest.raises(RefusedError, match=r"access refused: .*credentials.*AWS_ACCESS_KEY_ID"):
            (place / "mine").write_bytes(b"")


def test_tokens_that_another_program_renews(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pass_on, keys, valid = sign_anew(s3.service.url, _keys(s3)), tmp_path / "credentials", ["first"]

    def rule(request: Request) -> Answer:
        if request.headers.get("x-amz-security-token") != valid[0]:
            return error(400, "ExpiredToken", "The provided token has expired.")
        return pass_on(request)

    def renew(token: str) -> None:
        keys.write_text(
            f"[team]\naws_access_key_id = a\naws_secret_access_key = b\naws_session_token = {token}\n"
        )

    renew("first")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_PROFILE", "team")
    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", DEAD)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", opened.url)  # which comes first
        _use(place)
        valid[0] = "second"
        with pytest.raises(RefusedError, match="ExpiredToken"):
            place.walk_files()
        renew("second")
        _use(place)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(RefusedError, match="nobody"):
        place.exists()


def test_the_keys_of_a_role_are_renewed(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pass_on, issued = sign_anew(s3.service.url, _keys(s3)), [0]

    def rule(request: Request) -> Answer:
        if b"Action=AssumeRole" in request.body:
            issued[0] += 1
            soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=2)  # so that they are renewed at once
            keys = (
                f"<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey><SessionToken>{issued[0]}"
            )
            keys += f"</SessionToken><Expiration>{soon:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
            result = f"<AssumeRoleResult><Credentials>{keys}</Credentials></AssumeRoleResult>"
            return Answer(200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>")
        if request.headers.get("x-amz-security-token") != str(issued[0]):
            return error(403, "AccessDenied", "not the newest keys")
        return pass_on(request)

    config = tmp_path / "config"
    config.write_text(
        "[profile base]\naws_access_key_id = c\naws_secret_access_key = d\n"
        "[profile worker]\nrole_arn = arn:aws:iam::123456789012:role/worker\nsource_profile = base\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "worker")
    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        _use(place)
    assert issued[0] > 1


def test_parts_are_of_equal_size(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    part_bytes = 5 << 20  # the least that S3 takes
    monkeypatch.setattr(s3_store, "PART_BYTES", part_bytes)
    data = bytes(2 * part_bytes + 5)
    with gate(s3.service.url) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        with (place / "stream").open("wb") as stream:
            for start in range(0, len(data), 3_000_000):
                stream.write(data[start : start + 3_000_000])
        (place / "whole").write_bytes(data)
        with pytest.raises(TypeError), (place / "failed").open("wb") as stream:
            stream.writelines([data, cast(bytes, None)])
        parts = [r for r in opened.requests if "partNumber" in r.target]
        for name in ("stream", "whole"):
            sizes = sorted(len(r.body) for r in parts if f"/{name}?" in r.target)
            assert sizes == [5, part_bytes, part_bytes]
        assert place.walk_files() == ["stream", "whole"]
        assert (place / "stream").read_bytes() == data
        aborted = [r for r in opened.requests if r.method == "DELETE" and "uploadId" in r.target]
        assert len(aborted) == 1


def test_older_stores_know_no_checksums(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rule(request: Request) -> Answer | None:
        if request.method == "PUT" and any("checksum" in name for name in request.headers):
            return error(400, "InvalidArgument", "x-amz-checksum-crc32 is not supported")
        return None

    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        _use(place)
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
        with pytest.raises(RefusedError, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required"):
            place.write_bytes(b"x")


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
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    waited: list[str] = []
    with gate(s3.service.url, lambda _: REFUSALS[answer]) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        acts: list[Callable[[], object]] = [place.read_bytes, lambda: place.write_bytes(b"x"), place.delete]
        for act in acts:
            with pytest.raises(RefusedError, match=said):
                retry_storage(act, 60, waited.append)
        assert len(opened.requests) <= 6  # of which some ask for the region
    assert not waited


def test_what_cannot_be_removed_is_a_warning(
    s3: ObjectStoreForTests,
    place: Location,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build = DatasetBuild(place, {"kind": "pair"})
    build.start()
    (build.parts / "part-00000.json").write_bytes(b"")
    refusal = error(403, "AccessDenied", "Access denied.")
    with gate(s3.service.url, lambda r: refusal if r.method in ("DELETE", "POST") else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        build.clean()
        for step in (1, 2):
            (place / f"run/checkpoint-{step:09d}/checkpoint.json").write_bytes(b"{}")
        assert collect_checkpoints(place / "run", "checkpoint-000000002", 1) == ["checkpoint-000000002"]
    assert "_plan.json is no longer needed" in caplog.text
    assert "access refused" in caplog.text
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.service.url)
    collect_checkpoints(place / "run", "checkpoint-000000002", 1)
    assert (place / "run").walk_files() == ["checkpoint-000000002/checkpoint.json"]


def test_a_run_deletes_no_checkpoint_of_its_neighbour(place: Location) -> None:
    for run in ("ab[1]", "ab1"):
        for step in (1, 2):
            (place / run / f"checkpoint-{step:09d}/checkpoint.json").write_bytes(b"{}")
    collect_checkpoints(place / "ab[1]", "checkpoint-000000002", 1)
    assert place.walk_files() == [
        "ab1/checkpoint-000000001/checkpoint.json",
        "ab1/checkpoint-000000002/checkpoint.json",
        "ab[1]/checkpoint-000000002/checkpoint.json",
    ]


def test_a_destination_with_brackets_in_a_store_that_deletes_nothing(
    s3: ObjectStoreForTests,
    place: Location,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_iharmony4(tmp_path / "source", photographs=2)
    (place / "exp2/part-00000.parquet").write_bytes(b"a neighbour's")
    command = ["shard", "iharmony4", "--source", str(tmp_path / "source"), "--list", "IHD_train.txt"]
    refusal = error(403, "AccessDenied", "Access denied.")
    with gate(s3.service.url, lambda r: refusal if r.method in ("DELETE", "POST") else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        assert main([*command, "--dest", f"{place}//./exp[3]/"]) == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.service.url)
    assert "exp[3]/_parts is no longer needed" in caplog.text
    assert main([*command, "--dest", f"{place}/exp[2]"]) == 0
    assert main(["inspect", "--no-contact-sheet", f"{place}/exp[2]"]) == 0
    made = ["exp[2]/manifest.json", "exp[2]/part-00000.parquet"]
    assert [path for path in place.walk_files() if "[3]" not in path] == ["exp2/part-00000.parquet", *made]


def test_a_store_is_tried(
    s3: ObjectStoreForTests,
    place: Location,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (place / "kept").write_bytes(b"x")
    assert main(["inspect", "--store", str(place)]) == 0
    shown = capsys.readouterr().out
    assert s3.service.url in shown
    assert [shown.count(word) for word in ("works", "refused")] == [5, 0]
    assert place.walk_files() == ["kept"]
    assert not [secret for secret in (_keys(s3).secret_key, _keys(s3).access_key) if secret in shown]
    refusal = error(403, "AccessDenied", "Access denied.")
    with gate(s3.service.url, lambda r: refusal if r.method == "PUT" else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        assert main(["inspect", "--store", str(place)]) == 1
    printed = capsys.readouterr()
    assert [printed.out.count(word) for word in ("works", "refused:")] == [2, 1]
    assert "access refused (AccessDenied" in printed.out
    assert "refuses to write;" in printed.err
    for uri in (str(tmp_path), "memory://tried/folder"):
        assert main(["inspect", "--store", uri]) == 0
    assert main(["inspect"]) == 2
    assert main(["inspect", "--store", str(place), str(place)]) == 2


def test_what_may_pass_is_waited_for(
    s3: ObjectStoreForTests, place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    refusing = [error(503, "SlowDown"), error(400, "RequestTimeout"), error(500, "InternalError")]
    with gate(s3.service.url, lambda _: refusing.pop() if refusing else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        waited: list[str] = []
        retry_storage(lambda: place.write_bytes(b"x"), 60, waited.append)
        assert len(waited) == 1
        assert not refusing
