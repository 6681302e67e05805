"""Which errors of stores are for good, and what they say."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

import pytest
from botocore import exceptions as boto

from charmnet.errors import StorageError
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import MissingError, RefusedError, named

URI = "s3://bucket/key"


def _answer(status: int, code: str, message: str = "", **details: str) -> boto.ClientError:
    error = {"Code": code, "Message": message, **details}
    return boto.ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


def _translated(error: Exception, uri: str = URI) -> StorageError:
    with pytest.raises(StorageError) as caught, named(uri):
        raise error
    assert uri in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", MissingError),
        (404, "NoSuchBucket", MissingError),
        (404, "404", MissingError),
        (404, "NoSuchUpload", StorageError),
        (301, "PermanentRedirect", RefusedError),
        (400, "AuthorizationHeaderMalformed", RefusedError),
        (400, "RequestTimeout", StorageError),
        (400, "ExpiredToken", RefusedError),
        (401, "Unauthorized", RefusedError),
        (403, "InvalidAccessKeyId", RefusedError),
        (405, "MethodNotAllowed", RefusedError),
        (408, "RequestTimeout", StorageError),
        (409, "OperationAborted", StorageError),
        (412, "PreconditionFailed", RefusedError),
        (429, "TooManyRequests", StorageError),
        (500, "InternalError", StorageError),
        (501, "NotImplemented", RefusedError),
        (503, "SlowDown", StorageError),
    ],
)
def test_answers(status: int, code: str, kind: type[StorageError]) -> None:
    assert type(_translated(_answer(status, code))) is kind


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_answer(403, "SecondLevelDomainForbidden", "Please use virtual hosted style"), "addressing_style"),
        (_answer(400, "InvalidArgument", "x-amz-checksum-crc32"), "AWS_REQUEST_CHECKSUM_CALCULATION"),
        (_answer(301, "PermanentRedirect", Endpoint="eu.example"), "AWS_ENDPOINT_URL with the host eu.exam"),
        (_answer(400, "AuthorizationHeaderMalformed", Region="eu-west-9"), "AWS_REGION to be eu-west-9"),
        (_answer(403, "AccessDenied"), "access refused"),
    ],
)
def test_remedies(answer: boto.ClientError, said: str) -> None:
    assert said in str(_translated(answer))


def _connection(cause: Exception) -> boto.EndpointConnectionError:
    error = boto.EndpointConnectionError(endpoint_url="https://user:password@store.example", error=cause)
    error.__cause__ = RuntimeError("in between")
    error.__cause__.__context__ = cause
    return error


def _tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "not known"), RefusedError, "no such host"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), StorageError, "does not answer"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), StorageError, "does not answer"),
        (ssl.SSLCertVerificationError("self-signed"), RefusedError, "AWS_CA_BUNDLE"),
        (ssl.SSLEOFError("ended"), StorageError, "does not answer"),
        (_tls_error("WRONG_VERSION_NUMBER"), RefusedError, "speaks no TLS there"),
        (_tls_error("UNEXPECTED_EOF_WHILE_READING"), StorageError, "does not answer"),
    ],
)
def test_connections(cause: Exception, kind: type[StorageError], said: str) -> None:
    error = _translated(_connection(cause))
    assert type(error) is kind
    assert said in str(error)
    assert "password" not in str(error)


def test_keys_that_are_missing_or_expired() -> None:
    for error in (
        boto.NoCredentialsError(),
        boto.ProfileNotFound(profile="nobody"),
        boto.UnauthorizedSSOTokenError(),
    ):
        assert isinstance(_translated(error), RefusedError)


def test_a_folder_that_may_not_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(RefusedError, match="access refused"):
        (Location.of(tmp_path) / "x").write_bytes(b"")
    assert isinstance(_translated(OSError(errno.EROFS, "Read-only"), "file:///x"), RefusedError)
    assert type(_translated(OSError(errno.ENOSPC, "No space left"), "file:///x")) is StorageError


def test_a_name_that_is_too_long_is_called_so(tmp_path: Path) -> None:
    place = Location.of(tmp_path / ("x" * 300) / "file")
    assert not place.exists()
    with pytest.raises(MissingError, match="longer than its file system takes"):
        place.write_bytes(b"")
