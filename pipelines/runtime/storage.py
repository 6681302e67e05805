"""Files and folders by URI: s3://, file://, plain paths, and the other schemes that fsspec knows.

Keys, endpoints and regions come from the environment and the files of Amazon's tools (`s3_settings`); a
`Location` holds a URI and nothing else, so it can be pickled, logged and stored.
"""

from __future__ import annotations

import io
import json
import logging
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from charmnet.errors import StorageError
from pipelines.runtime.extras import missing_package
from pipelines.runtime.file_store import FileStore
from pipelines.runtime.range_file import RangeFile
from pipelines.runtime.store_errors import RefusedError, named

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.runtime.s3_store import S3Store

logger = logging.getLogger(__name__)

MAX_JSON_BYTES = 16 << 20
"""Size limit of a JSON file, unless its reader allows more: parsed, it takes many times its size."""
_READ_AHEAD_BYTES = 8 << 20


@dataclass(frozen=True)
class Location:
    """URI of a file or folder, with the operations on it.

    Operations raise `StorageError`, with the URI and the remedy, where the store refuses or is unreachable.

    Attributes:
        uri: `scheme://path` without a trailing slash; a local one is `file:///absolute/path`. Doubled slashes
            are one, and `.` is left out. Names stand in it as they are: nothing is percent-encoded, nothing
            is a pattern, and #, ?, % and blanks mean nothing.
    """

    uri: str

    @classmethod
    def of(cls, uri: str | Path | Location) -> Location:
        """Return the location that a user's URI or path names; a plain path is made absolute.

        Raises:
            ValueError: the URI names no bucket, another machine's file or an unknown user's home, or carries
                a user, a password or a query, which belong in the environment.
        """
        if isinstance(uri, Location):
            return uri
        text = os.fspath(uri)
        if "://" not in text:
            if re.match(r"(?!file:)[A-Za-z][\w+.-]*:/", text):
                raise ValueError(f"{text}: expected SCHEME://..., or ./{text} for a local path")
            return cls._local(text.removeprefix("file:") if text.startswith("file:/") else text)
        scheme, _, path = text.partition("://")
        scheme = scheme.lower()
        if scheme == "file":
            path = path.removeprefix("localhost") if path.startswith("localhost/") else path
            if not path.startswith("/"):
                raise ValueError(f"{text}: expected file:///absolute/path")
            return cls._local(path)
        host = path.partition("/")[0]
        if "@" in host or re.search(r"\?[^/]*=", path) or (scheme == "s3" and ":" in host):
            raise ValueError(
                f"{scheme}://...: a URI with credentials or options in it; "
                "give keys and endpoints through the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL)"
            )
        if not path.strip("/") or (scheme == "s3" and not host):
            raise ValueError(f"{text}: names no bucket; expected {scheme}://BUCKET/PATH")
        parts = _parts(path)
        if ".." in parts:
            raise ValueError(f"{text}: expected a URI without ..")
        root = "/" if path.startswith("/") else ""  # as in local:///path
        return cls(f"{scheme}://{root}{'/'.join(parts)}")

    @classmethod
    def _local(cls, path: str) -> Location:
        try:
            expanded = Path(path).expanduser()
        except RuntimeError as error:
            raise ValueError(f"{path}: no user's home folder; expected ./{path} for a local path") from error
        return cls(f"file://{expanded.resolve().as_posix()}")

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> Location:
        """Return the location of a relative path beneath this one.

        Raises:
            StorageError: `name` is absolute or would leave this folder ("../").
        """
        parts = _parts(name)
        if name.startswith("/") or ".." in parts or "\0" in name or "://" in name:
            raise StorageError(f"{self}: the path {name!r} would leave it; expected a relative path beneath")
        return Location("/".join([self.uri.removesuffix("/"), *parts])) if parts else self

    @property
    def scheme(self) -> str:
        """Scheme of the URI, such as s3 or file."""
        return self.uri.partition("://")[0]

    @property
    def name(self) -> str:
        """Last part of the path."""
        return posixpath.basename(self.uri)

    @property
    def parent(self) -> Location:
        """Folder that contains it; a bucket and the root folder contain themselves."""
        if self.scheme == "file":
            return Location(f"file://{posixpath.dirname(self._path)}")
        return Location(posixpath.dirname(self.uri)) if "/" in self._path else self

    @property
    def local_path(self) -> Path | None:
        """Path on this machine; None for a remote location."""
        return Path(self._path) if self.scheme == "file" else None

    @property
    def _path(self) -> str:
        return self.uri.partition("://")[2]

    @contextmanager
    def open(self, mode: str = "rb") -> Iterator[IO[bytes]]:
        """Open the file to read it ("rb") or to write it from beginning to end ("wb")."""
        with named(self.uri):
            if mode == "wb":
                with self._store().create(self._path) as stream:
                    yield cast(IO[bytes], stream)
            elif self.scheme == "file":
                with Path(self._path).open("rb") as stream:
                    yield stream
            else:
                with io.BufferedReader(RangeFile(self), _READ_AHEAD_BYTES) as stream:
                    yield cast(IO[bytes], stream)

    def random_access(self) -> pa.NativeFile:
        """Open the file for Arrow to read ranges of it, as parquet shards are read."""
        import pyarrow as pa  # noqa: PLC0415 - of the extra train; pictures and models are read without it

        with named(self.uri):
            if self.scheme == "file":
                return pa.OSFile(self._path, "r")
        return pa.PythonFile(RangeFile(self, self.size_bytes()), mode="r")

    def _store(self) -> S3Store | FileStore:
        """Return what reads and writes this scheme.

        Raises:
            StorageError: the scheme is unknown.
        """
        try:
            return _store_of(self.scheme)
        except (ValueError, ImportError) as error:
            missing = isinstance(error, ImportError) and missing_package(f"{self.scheme}://", error)
            expected = "expected s3://, file:// or another scheme that fsspec knows"
            raise StorageError(f"{self}: {missing or f'{error}; {expected}'}") from error

    def exists(self) -> bool:
        """Tell whether there is a file or folder."""
        with named(self.uri):
            return self._store().exists(self._path)

    def size_bytes(self) -> int:
        """Return the file's size in bytes."""
        with named(self.uri):
            return self._store().size_bytes(self._path)

    def read_bytes(self) -> bytes:
        """Return the file's content."""
        with named(self.uri):
            return self._store().read(self._path)

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from the offset `start` on; fewer where the file ends before."""
        with named(self.uri):
            return self._store().read_range(self._path, start, length)

    def write_bytes(self, data: bytes) -> None:
        """Write the whole file or nothing: readers never see a part of it."""
        with named(self.uri):
            self._store().write(self._path, data)

    def check_writable(self) -> None:
        """Check that files may be written beneath, as far as that shows without writing one."""
        with named(self.uri):
            self._store().check_writable(self._path)

    def read_json(self, limit_bytes: int = MAX_JSON_BYTES) -> Any:
        """Return the value that a JSON file holds.

        Raises:
            StorageError: the file cannot be read, is no JSON, or is larger than `limit_bytes`.
        """
        data = self.read_range(0, limit_bytes + 1)
        if len(data) > limit_bytes:
            raise StorageError(f"{self}: more than {limit_bytes:,} bytes, the limit for this file")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self}: not valid JSON ({error})") from error

    def write_json(self, value: Any) -> None:
        """Write a value as JSON: the whole file or nothing."""
        self.write_bytes(json.dumps(value, indent=1).encode())

    def read_jsonl(self) -> list[Any]:
        """Read a file of JSON values, one on each line.

        Raises:
            StorageError: the file cannot be read, or a line is no JSON.
        """
        try:
            return [json.loads(line) for line in self.read_bytes().split(b"\n") if line]
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self}: not valid JSON lines ({error})") from error

    def write_jsonl(self, values: Iterable[Any]) -> None:
        """Write JSON values, one on each line: the whole file or nothing."""
        self.write_bytes("".join(f"{json.dumps(value)}\n" for value in values).encode())

    def children(self) -> list[Location]:
        """Return the files and folders directly beneath, sorted by name; none for a missing folder."""
        with named(self.uri):
            names = self._store().children(self._path)
        return [Location(f"{self.uri.removesuffix('/')}/{name}") for name in names if name not in (".", "..")]

    def walk_files(self) -> list[str]:
        """Return the relative paths of all files beneath, sorted; markers of empty folders are left out.

        Raises:
            RefusedError: a key has an empty part, or one that is `.` or `..`: clients read it differently.
        """
        with named(self.uri):
            paths = self._store().files(self._path)
        for path in paths:
            if "/".join(_parts(path)) != path or ".." in path.split("/"):
                raise RefusedError(
                    f"{self}: holds an object with the key {path!r}, which clients of stores read in "
                    "different ways; rename or remove it"
                )
        return sorted(paths)

    def delete(self) -> None:
        """Remove the file, or the folder with all that it contains; a missing one is no error.

        Exactly what a listing names is removed: a name such as `a[1]` or `a*` is no pattern.
        """
        with named(self.uri):
            self._store().delete(self._path)

    def discard(self) -> bool:
        """Remove what nobody needs any more; where the store refuses, warn and return False."""
        try:
            self.delete()
        except StorageError as error:
            logger.warning("%s is no longer needed and could not be removed (%s)", self, error)
            return False
        return True

    def upload_folder(self, folder: Path) -> None:
        """Copy the files of a local folder to beneath this location."""
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            (self / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())

    def download_folder(self, folder: Path) -> None:
        """Copy all files beneath this location into a local folder."""
        for name in self.walk_files():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((self / name).read_bytes())


@cache
def _store_of(scheme: str) -> S3Store | FileStore:
    if scheme != "s3":
        return FileStore(scheme)
    from pipelines.runtime.s3_store import S3Store  # noqa: PLC0415 - its packages are of the extra train

    return S3Store()


def _parts(path: str) -> list[str]:
    """Return the names in a path: doubled slashes are one, and `.` is left out."""
    return [name for name in path.split("/") if name not in ("", ".")]
