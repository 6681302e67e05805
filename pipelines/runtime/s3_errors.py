"""Errors of S3 stores: what their clients raise and what servers answer, in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from botocore import exceptions as boto

from charmnet.errors import StorageError
from pipelines.runtime.redaction import redact
from pipelines.runtime.store_errors import KEYS_EXPECTED, MissingError, RefusedError, failed, speaks_no_tls

ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"
CHECKSUM_VARIABLE = "AWS_REQUEST_CHECKSUM_CALCULATION"

_WITHOUT_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.InvalidConfigError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.NoAuthTokenError,
)
_MAY_PASS = frozenset({400, 408, 409, 425, 429})
"""Statuses below 500 that another try may change; of 400 only with one of these codes."""
_PASSING_CODES = frozenset(
    {
        *("BadDigest", "IncompleteBody", "OperationAborted", "RequestLimitExceeded", "RequestTimeout"),
        *("SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "XAmzContentSHA256Mismatch"),
    }
)
_CHECKSUM_WORDS = ("checksum", "aws-chunked", "streaming-", "trailer", "content-sha256", "content-md5")
_HOST_WORDS = ("virtual host", "virtual-host", "secondleveldomain", "pathstyle", "path style", "path-style")


def s3_error(uri: str, error: Exception) -> StorageError | None:
    """Return the error of a store for one of botocore, or None for another kind of error."""
    if isinstance(error, boto.ClientError):
        return _answered(uri, error)
    if isinstance(error, _WITHOUT_CREDENTIALS):
        return RefusedError(f"{uri}: access refused: {error}; {KEYS_EXPECTED}")
    if isinstance(error, boto.ParamValidationError):
        return RefusedError(f"{uri}: no valid address: {error}")
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | boto.IncompleteReadError):
        return _unreachable(uri, error)
    return failed(uri, error) if isinstance(error, boto.BotoCoreError) else None


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of an answer; 0 where it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def code_of(error: boto.ClientError) -> str:
    """Return S3's code of an answer, such as AccessDenied; for one without a body its status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _answered(uri: str, error: boto.ClientError) -> StorageError:
    """Return the error for an answer of the store."""
    status, code = status_of(error), code_of(error)
    details = error.response.get("Error", {})
    said = f"{code} {details.get('Message', '')}".strip()
    if code in ("NoSuchBucket", "NoSuchKey") or (status == 404 and code in ("404", "")):
        return MissingError(f"{uri}: no such file, folder or bucket")
    if status >= 500 and status != 501:
        return StorageError(f"{uri}: the store answers with an error ({said})")
    if status in _MAY_PASS and (status != 400 or code in _PASSING_CODES):
        return StorageError(f"{uri}: the store cannot do it now ({said})")
    if status == 404:  # such as an upload that somebody ended
        return StorageError(f"{uri}: {said}")
    return RefusedError(f"{uri}: {_advice(status, said, details)}")


def _advice(status: int, said: str, details: dict[str, str]) -> str:
    """Return what was refused, and what mends it."""
    lower = said.lower()
    if any(word in lower for word in _HOST_WORDS):
        return (
            f"the store wants the bucket in the host's name ({said}); set `s3 = addressing_style = virtual` "
            "in the profile of ~/.aws/config"
        )
    if any(word in lower for word in _CHECKSUM_WORDS):
        return (
            f"the store does not know the checksum that was sent ({said}); set "
            f"{CHECKSUM_VARIABLE}=when_required"
        )
    if details.get("Endpoint"):
        return (
            f"the bucket lies elsewhere ({said}); expected {ENDPOINT_VARIABLE} with the host "
            f"{details['Endpoint']}"
        )
    if status in (301, 302, 307) or details.get("Region") or "region" in lower:
        region = details.get("Region") or "the bucket's region"
        return f"the bucket is in another region ({said}); expected AWS_REGION to be {region}"
    if status in (401, 403) or "Expired" in said or "Token" in said:
        return f"access refused ({said}); {KEYS_EXPECTED}"
    return f"the store refuses it ({said})"


def _unreachable(uri: str, error: boto.BotoCoreError) -> StorageError:
    """Return the error for a connection that failed; a wrong certificate or name fails for good."""
    causes = list(_causes(error))
    shown = redact(str(error))  # an address may have a password in it
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return RefusedError(
            f"{uri}: the store's certificate is not trusted ({shown}); expected its authority's "
            "certificate in the file that AWS_CA_BUNDLE names"
        )
    if any(map(speaks_no_tls, causes)):
        return RefusedError(
            f"{uri}: the store speaks no TLS there ({shown}); expected http:// in {ENDPOINT_VARIABLE}, or "
            "the port of its https"
        )
    if any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME for cause in causes):
        return RefusedError(
            f"{uri}: there is no such host ({shown}); expected the store's address in {ENDPOINT_VARIABLE}"
        )
    if isinstance(error, boto.ProxyConnectionError):
        return StorageError(
            f"{uri}: the proxy does not answer ({shown}); expected one that runs in http_proxy or "
            "https_proxy, or the store's host in no_proxy"
        )
    return StorageError(
        f"{uri}: the store does not answer ({shown}); expected one that runs, at the address in "
        f"{ENDPOINT_VARIABLE} if it is not Amazon's"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    seen: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            yield cause
            inner = getattr(cause, "kwargs", {}).get("error")
            pending += [cause.__cause__, cause.__context__, inner, *cause.args]
