"""Errors of stores: what is missing, what is refused for good, and what may answer later."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from charmnet.errors import CharmNetError, StorageError, in_words

_REFUSED_LOCALLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNSUPPORTED_PROTOCOL", "HTTP_REQUEST")
KEYS_EXPECTED = (
    "expected credentials that may use it in the environment (for s3:// AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE or an instance role, AWS_ENDPOINT_URL for other servers)"
)


class MissingError(StorageError):
    """A file or folder does not exist; the store itself answers."""


class RefusedError(StorageError):
    """A store refuses for good: keys, rights, a certificate, a host or a region; waiting changes nothing."""


def speaks_no_tls(error: BaseException) -> bool:
    """Tell whether a server was called by https that has no TLS at this port, or none of this age."""
    return isinstance(error, ssl.SSLError) and getattr(error, "reason", None) in _NO_TLS


def with_remedy(error: CharmNetError) -> str:
    """Return the error of a task whose command can be run again, which mends alone what is no refusal."""
    then = "then run" if isinstance(error, RefusedError) else "run"
    return f"{error}; {then} the same command again to continue"


@contextmanager
def named(uri: str) -> Iterator[None]:
    """Turn errors of a store into a `StorageError` that names the URI.

    Raises:
        MissingError: there is no such file, folder or bucket.
        RefusedError: the store refuses for good.
        StorageError: the store does not answer, or any other failure.
    """
    try:
        yield
    except CharmNetError:
        raise
    except Exception as error:
        known = _translated(uri, error)
        if known is None:
            raise
        raise known from error


def _translated(uri: str, error: Exception) -> StorageError | None:
    if uri.startswith("s3:"):
        from pipelines.runtime.s3_errors import s3_error  # noqa: PLC0415 - needs botocore

        if (known := s3_error(uri, error)) is not None:
            return known
    if isinstance(error, FileNotFoundError):
        kinds = "file or folder" if uri.startswith("file:") else "file, folder or bucket"
        return MissingError(f"{uri}: no such {kinds}")
    if isinstance(error, MemoryError | OverflowError):
        return StorageError(f"{uri}: asked for more than memory holds; is its manifest right?")
    return failed(uri, error) if isinstance(error, OSError) else None


def failed(uri: str, error: Exception) -> StorageError:
    """Return the error of a store for one of the operating system, or of a client of a store."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENAMETOOLONG:
        return MissingError(f"{uri}: no such file or folder: a name is longer than its file system takes")
    if number == errno.ENOTDIR:
        return MissingError(f"{uri}: no such file or folder (ENOTDIR)")
    if uri.startswith("file:") and isinstance(error, FileExistsError):
        return StorageError(f"{uri} cannot be written: {error.filename} is a file; expected a folder there")
    if uri.startswith("file:") and number in _REFUSED_LOCALLY:
        return RefusedError(
            f"{uri}: access refused ({in_words(error)}); expected a place that this user may use: see the "
            "rights of it and of the folders above, and whether its disk is mounted to be read alone"
        )
    if number in _REFUSED_LOCALLY or isinstance(error, PermissionError):
        return RefusedError(f"{uri}: access refused ({error}); {KEYS_EXPECTED}")
    return StorageError(f"{uri}: {in_words(error)}")
