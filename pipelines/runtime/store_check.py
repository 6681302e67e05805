"""Trying of a store: what it is told, and whether it lists, takes, gives and deletes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from charmnet.errors import StorageError
from pipelines.runtime.redaction import redact
from pipelines.runtime.s3_settings import S3Settings, read_settings
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import named

_CONTENT = b"0123456789"
_NAMES = ["one", "two [2]*?#%+é"]
_LOOKED_AT = 20


@dataclass(frozen=True)
class Trial:
    """One thing that was tried in a store.

    Attributes:
        act: what was tried.
        problem: why it failed, or None.
    """

    act: str
    problem: str | None


def store_settings(location: Location) -> dict[str, str]:
    """Return what clients of the store are told, by a name for people; holds no secret.

    Raises:
        ValueError: the endpoint is no URL.
        RefusedError: the profile does not exist or cannot be read.
    """
    if location.scheme != "s3":
        return {
            "store": f"{location.scheme}://, through fsspec" if location.local_path is None else "a folder"
        }
    with named(str(location)):
        return _shown(read_settings())


def _shown(settings: S3Settings) -> dict[str, str]:
    style = settings.addressing
    in_host = style == "virtual" or (style == "auto" and settings.endpoint is None)
    profile = f", profile {settings.profile}" if settings.profile else ""
    return {
        "endpoint": redact(settings.endpoint or "Amazon S3"),
        "region": settings.region or "the bucket's, which the store names",
        "addresses": f"bucket in the {'host' if in_host else 'path'}",
        "keys": f"{'none: requests are not signed' if settings.anonymous else settings.credentials}{profile}",
        "checksums": settings.checksums,
        "proxy": settings.proxy or "none",
        "certificates": settings.ca_bundle or "the system's",
    }


def try_store(location: Location) -> list[Trial]:
    """List a folder; write, list, read and delete files in a new folder beneath it, whose name is unusual."""
    scratch = location / f".charmnet-{uuid.uuid4().hex} [1]*?#%+é"

    def write() -> None:
        for name in _NAMES:
            (scratch / name).write_bytes(_CONTENT)

    def list_written() -> None:
        _expect(scratch, scratch.walk_files(), _NAMES)

    def read() -> None:
        _expect(scratch, (scratch / _NAMES[0]).read_range(3, 4), _CONTENT[3:7])

    def delete() -> None:
        scratch.delete()
        _expect(scratch, scratch.walk_files(), [])

    trials = [_trial("list", location.children), _trial("write", write)]
    if trials[-1].problem is None:
        return [*trials, _trial("list what was written", list_written), _trial("read a range", read),
                _trial("delete", delete)]  # fmt: skip
    return [*trials, _trial("read a range", lambda: _read_any(location))] if not trials[0].problem else trials


def _read_any(location: Location) -> None:
    """Read a byte of a file that is there already."""
    children = location.children()[:_LOOKED_AT]
    if not any(child.exists() and child.read_range(0, 1) for child in children if not child.children()):
        raise StorageError(f"{location}: no file directly beneath that could be read")


def _expect(location: Location, got: object, expected: object) -> None:
    if got != expected:
        raise StorageError(f"{location}: got {got!r}, expected {expected!r}")


def _trial(act: str, call: Callable[[], object]) -> Trial:
    try:
        call()
    except StorageError as error:
        return Trial(act, str(error))
    return Trial(act, None)
