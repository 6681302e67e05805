"""What stores demand, each shown by a small proxy before a real one; every client is told the same."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import cast

import pytest
from botocore.credentials import Credentials

from charmnet.errors import StorageError
from pipelines.commands.cli import main
from pipelines.runtime import s3_store
from pipelines.runtime.s3_settings import read_settings
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import RefusedError
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


def _keys(store: ObjectStoreForTests) -> Credentials:
    environment = store.service.environment()
    return Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])


def _use(s3_folder: Location) -> None:
    """Do all that commands do in a store."""
    file = s3_folder / "a folder/file"
    assert not file.exists()  # the first request has an answer without a body
    file.write_bytes(b"0123456789")
    (s3_folder / "a folder/other").write_bytes(b"")
    assert file.exists()
    assert (s3_folder / "a folder").exists()
    assert file.size_bytes() == 10
    assert file.read_bytes() == b"0123456789"
    assert file.read_range(8, 10) == b"89"
    assert file.read_range(10, 10) == b""
    with file.random_access() as stream:
        assert (stream.size(), stream.read_at(2, 4)) == (10, b"45")
    assert [child.name for child in (s3_folder / "a folder").children()] == ["file", "other"]
    assert s3_folder.walk_files() == ["a folder/file", "a folder/other"]
    (s3_folder / "a folder").delete()
    assert s3_folder.walk_files() == []


@pytest.mark.parametrize("in_header", [True, False])
def test_a_region_is_learned_from_the_store(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch, in_header: bool
) -> None:
    with gate(s3.service.url, demand_region("mars-north-1", in_header=in_header)) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        _use(s3_folder)
        wrong = [r for r in opened.requests if "/us-east-1/" in r.headers["authorization"]]
        assert len(wrong) <= 3
        monkeypatch.setenv("AWS_REGION", "mars-north-1")
        before = len(opened.requests)
        _use(s3_folder)
        assert not [r for r in opened.requests[before:] if "/us-east-1/" in r.headers["authorization"]]


def test_tls_of_a_private_authority(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, authority = certificates(tmp_path)
    with gate(s3.service.url, context=context) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        with pytest.raises(RefusedError, match=r"certificate is not trusted.*AWS_CA_BUNDLE"):
            s3_folder.exists()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
        with pytest.raises(RefusedError, match="AWS_CA_BUNDLE"):
            s3_folder.exists()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
        _use(s3_folder)


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
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch, host_style: Rule
) -> None:
    with gate(s3.service.url, host_style) as opened:
        monkeypatch.setenv("http_proxy", opened.url)
        with pytest.raises(RefusedError, match="addressing_style = virtual"):
            s3_folder.exists()
        monkeypatch.setenv("AWS_PROFILE", "other")
        _use(s3_folder)
    monkeypatch.setenv("http_proxy", DEAD)
    with pytest.raises(StorageError, match=r"the proxy does not answer.*no_proxy"):
        s3_folder.exists()


def test_mlflow_is_told_the_same(
    s3: ObjectStoreForTests,
    s3_folder: Location,
    monkeypatch: pytest.MonkeyPatch,
    host_style: Rule,
    tmp_path: Path,
) -> None:
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    (tmp_path / "artifact").write_bytes(b"an artifact")
    monkeypatch.setenv("AWS_PROFILE", "other")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # an earlier one knows the profiles of other files
    with gate(s3.service.url, host_style) as opened:
        monkeypatch.setenv("http_proxy", opened.url)
        for name, value in read_settings().mlflow_environment().items():
            monkeypatch.setenv(name, value)
        S3ArtifactRepository(str(s3_folder)).log_artifact(str(tmp_path / "artifact"))
        assert (s3_folder / "artifact").read_bytes() == b"an artifact"


def test_no_proxy_leads_to_this_machine(s3_folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, DEAD)
    _use(s3_folder)
    settings = read_settings()
    assert settings.proxy is None
    assert settings.mlflow_environment()["no_proxy"] == "127.0.0.1"


def test_a_public_bucket_needs_no_keys(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_on = sign_anew(s3.service.url, _keys(s3))
    (s3_folder / "public").write_bytes(b"for all")

    def rule(request: Request) -> Answer:
        if "authorization" in request.headers or request.method == "PUT":
            return error(403, "AccessDenied", "Access denied.")
        return pass_on(request)

    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        with pytest.raises(RefusedError, match="access refused"):
            (s3_folder / "public").read_bytes()
        monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "true")
        assert (s3_folder / "public").read_bytes() == b"for all"
        for name in ("AWS_NO_SIGN_REQUEST", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        assert s3_folder.walk_files() == ["public"]
        with pytest.raises(RefusedError, match=r"access refused: .*credentials.*AWS_ACCESS_KEY_ID"):
            (s3_folder / "mine").write_bytes(b"")


def test_tokens_that_another_program_renews(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
        _use(s3_folder)
        valid[0] = "second"
        with pytest.raises(RefusedError, match="ExpiredToken"):
            s3_folder.walk_files()
        renew("second")
        _use(s3_folder)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(RefusedError, match="nobody"):
        s3_folder.exists()


def test_the_keys_of_a_role_are_renewed(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
        _use(s3_folder)
    assert issued[0] > 1


def test_parts_are_of_equal_size(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    part_bytes = 5 << 20  # the least that S3 takes
    monkeypatch.setattr(s3_store, "PART_BYTES", part_bytes)
    data = bytes(2 * part_bytes + 5)
    with gate(s3.service.url) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        with (s3_folder / "stream").open("wb") as stream:
            for start in range(0, len(data), 3_000_000):
                stream.write(data[start : start + 3_000_000])
        (s3_folder / "whole").write_bytes(data)
        with pytest.raises(TypeError), (s3_folder / "failed").open("wb") as stream:
            stream.writelines([data, cast(bytes, None)])
        parts = [r for r in opened.requests if "partNumber" in r.target]
        for name in ("stream", "whole"):
            sizes = sorted(len(r.body) for r in parts if f"/{name}?" in r.target)
            assert sizes == [5, part_bytes, part_bytes]
        assert s3_folder.walk_files() == ["stream", "whole"]
        assert (s3_folder / "stream").read_bytes() == data
        aborted = [r for r in opened.requests if r.method == "DELETE" and "uploadId" in r.target]
        assert len(aborted) == 1


def test_older_stores_know_no_checksums(
    s3: ObjectStoreForTests, s3_folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rule(request: Request) -> Answer | None:
        if request.method == "PUT" and any("checksum" in name for name in request.headers):
            return error(400, "InvalidArgument", "x-amz-checksum-crc32 is not supported")
        return None

    with gate(s3.service.url, rule) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        _use(s3_folder)
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
        with pytest.raises(RefusedError, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required"):
            s3_folder.write_bytes(b"x")


def test_a_store_is_tried(
    s3: ObjectStoreForTests,
    s3_folder: Location,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (s3_folder / "kept").write_bytes(b"x")
    assert main(["inspect", "--store", str(s3_folder)]) == 0
    shown = capsys.readouterr().out
    assert s3.service.url in shown
    assert [shown.count(word) for word in ("works", "refused")] == [5, 0]
    assert s3_folder.walk_files() == ["kept"]
    assert not [secret for secret in (_keys(s3).secret_key, _keys(s3).access_key) if secret in shown]
    refusal = error(403, "AccessDenied", "Access denied.")
    with gate(s3.service.url, lambda r: refusal if r.method == "PUT" else None) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        assert main(["inspect", "--store", str(s3_folder), "--json", str(tmp_path / "tried.json")]) == 1
    tried = json.loads((tmp_path / "tried.json").read_text())
    assert tried["settings"]["endpoint"] == opened.url
    assert [act for act, problem in tried["problems"].items() if problem] == ["write"]
    printed = capsys.readouterr()
    assert [printed.out.count(word) for word in ("works", "refused:")] == [2, 1]
    assert "access refused (AccessDenied" in printed.out
    assert "refuses to write;" in printed.err
    for uri in (str(tmp_path), "memory://tried/folder"):
        assert main(["inspect", "--store", uri]) == 0
    assert main(["inspect"]) == 2
    assert main(["inspect", "--store", str(s3_folder), str(s3_folder)]) == 2
