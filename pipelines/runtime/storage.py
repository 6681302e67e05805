"""Files and folders by URI: s3://, file://, plain paths, and the other schemes that fsspec knows.

Keys, endpoints and regions come from the environment alone (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_ENDPOINT_URL`, instance roles); a `Location` holds a URI and nothing else, so it can be pickled, logged
and stored.
"""

from __future__ import annotations

import errno
import json
import os
import posixpath
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow.fs
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as UnreachableError

from charmnet.errors import StorageError

ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"
MAX_JSON_BYTES = 16 << 20
"""Size limit of a JSON file, unless its reader allows more: parsed, it takes many times its size."""

_MOST_DELETED = 1000
"""Number of keys that S3 deletes at once."""

_CANNOT_EXIST = (errno.ENAMETOOLONG, errno.ENOTDIR)


class MissingError(StorageError):
    """A file or folder does not exist; the store itself answers."""


@dataclass(frozen=True)
class Location:
    """URI of a file or folder, with the operations on it.

    Operations raise `StorageError`, with the URI and the remedy, where the store refuses or is unreachable.

    Attributes:
        uri: `scheme://path` without a trailing slash; a local one is `file:///absolute/path`. Names stand
            in it as they are: nothing is percent-encoded, and #, ?, % and blanks mean nothing.
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
        if "@" in host or "?" in path or (scheme == "s3" and ":" in host):
            raise ValueError(
                f"{scheme}://...: a URI with credentials or options in it; "
                "give keys and endpoints through the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL)"
            )
        if not path.strip("/") or (scheme == "s3" and not host):
            raise ValueError(f"{text}: names no bucket; expected {scheme}://BUCKET/PATH")
        return cls(f"{scheme}://{path.rstrip('/')}")

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
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\0" in name or "://" in name:
            raise StorageError(f"{self}: the path {name!r} would leave it; expected a relative path beneath")
        return Location(f"{self.uri}{'' if self.uri.endswith('/') else '/'}{name}")

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

    def filesystem(self) -> Any:
        """Return the fsspec filesystem; listings are not cached, since other processes write, too.

        Raises:
            ValueError: AWS_ENDPOINT_URL is no URL.
            StorageError: the scheme is unknown.
        """
        options: dict[str, Any] = {"use_listings_cache": False}
        if self.scheme == "file":
            options["auto_mkdir"] = True
        if self.scheme == "s3":
            _check_endpoint()
        try:
            return fsspec.filesystem(self.scheme, **options)
        except (ValueError, ImportError) as error:
            raise StorageError(
                f"{self}: {error}; expected s3://, file:// or another scheme that fsspec knows"
            ) from error

    def arrow(self) -> tuple[pyarrow.fs.FileSystem, str]:
        """Return Arrow's filesystem and the path in it, the fastest way to read ranges of a shard."""
        if self.scheme == "file":
            return pyarrow.fs.LocalFileSystem(), self._path
        if self.scheme == "s3":
            environment = tuple((name, text) for name, text in os.environ.items() if name.startswith("AWS_"))
            return _s3(environment), self._path
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(self.filesystem())), self._path

    @contextmanager
    def open(self, mode: str = "rb") -> Iterator[IO[Any]]:
        """Open the file."""
        with _named(self), self.filesystem().open(self._path, mode) as stream:
            yield stream

    def exists(self) -> bool:
        """Tell whether there is a file or folder."""
        with _named(self):
            return bool(self.filesystem().exists(self._path))

    def size_bytes(self) -> int:
        """Return the file's size in bytes."""
        with _named(self):
            return int(self.filesystem().size(self._path))

    def read_bytes(self) -> bytes:
        """Return the file's content."""
        with _named(self):
            return bytes(self.filesystem().cat_file(self._path))

    def read_range(self, start: int, length: int) -> bytes:
        """Return `length` bytes from the offset `start` on; fewer where the file ends before."""
        with _named(self):
            return bytes(self.filesystem().cat_file(self._path, start=start, end=start + length))

    def write_bytes(self, data: bytes) -> None:
        """Write the whole file or nothing: readers never see a part of it."""
        with _named(self):
            filesystem = self.filesystem()
            if self.scheme != "file":
                filesystem.pipe_file(self._path, data)  # an object appears only when it is complete
                return
            path = Path(self._path)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            temporary.write_bytes(data)
            temporary.replace(path)

    def read_json(self, limit_bytes: int = MAX_JSON_BYTES) -> Any:
        """Return the value that a JSON file holds.

        Raises:
            StorageError: the file cannot be read, is no JSON, or is larger than `limit_bytes`.
        """
        with self.open("rb") as stream:
            data = stream.read(limit_bytes + 1)
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
        with _named(self):
            try:
                paths = self.filesystem().ls(self._path, detail=False)
            except FileNotFoundError:
                return []
        folder = self._path.rstrip("/")
        names = sorted({posixpath.basename(p.rstrip("/")) for p in paths if p.rstrip("/") != folder})
        return [self / name for name in names if name]

    def walk_files(self) -> list[str]:
        """Return the relative paths of all files beneath, sorted; markers of empty folders are left out."""
        with _named(self):
            paths = self.filesystem().find(self._path)
        root = self._path.rstrip("/") + "/"
        paths = [p.lstrip("/") for p in paths] if self.scheme == "memory" else paths  # which adds a slash
        return sorted(p.removeprefix(root) for p in paths if p.startswith(root) and not p.endswith("/"))

    def delete(self) -> None:
        """Remove the file, or the folder with all that it contains; a missing one is no error.

        Exactly what a listing names is removed: a name such as `a[1]` or `a*` is no pattern.
        """
        with _named(self):
            filesystem = self.filesystem()
            if not filesystem.exists(self._path):
                return
            if self.scheme == "file":
                filesystem.rm(self._path, recursive=True)
                return
            entries = filesystem.find(self._path, withdirs=True, detail=True)
            files = [path for path, entry in entries.items() if entry["type"] == "file"]
            if self.scheme == "s3":
                _delete_objects(filesystem, files)
                return
            for path in files:
                filesystem.rm_file(path)
            for path in sorted({self._path, *entries} - {*files}, reverse=True):
                if filesystem.isdir(path):
                    filesystem.rmdir(path)

    def upload_folder(self, folder: Path) -> None:
        """Copy the files of a local folder to beneath this location."""
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            (self / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())

    def download_folder(self, folder: Path) -> None:
        """Copy all files beneath this location into a local folder."""
        for name in self.walk_files():
            target = folder / (self / name).uri.removeprefix(f"{self.uri}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((self / name).read_bytes())


def _delete_objects(filesystem: Any, paths: Sequence[str]) -> None:
    """Delete exactly these objects of one bucket, singly where the store refuses to delete many at once."""
    for start in range(0, len(paths), _MOST_DELETED):
        names = [path.partition("/") for path in paths[start : start + _MOST_DELETED]]
        bucket, keys = names[0][0], [key for _, _, key in names]
        request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = filesystem.call_s3("delete_objects", Bucket=bucket, Delete=request)
            keys = [error["Key"] for error in answer.get("Errors", [])]  # those that it refused
        except (OSError, ClientError):
            pass  # not every store knows this request; each key's own answer counts
        for key in keys:
            filesystem.rm_file(f"{bucket}/{key}")


@lru_cache(maxsize=4)
def _s3(environment: tuple[tuple[str, str], ...]) -> pyarrow.fs.S3FileSystem:
    """Return Arrow's client for an environment; making one takes 12 ms of CPU."""
    return pyarrow.fs.S3FileSystem(endpoint_override=dict(environment).get(ENDPOINT_VARIABLE))


@contextmanager
def _named(location: Location) -> Iterator[None]:
    """Turn errors of the store into a `StorageError` that names the location."""
    try:
        yield
    except FileNotFoundError as error:
        kinds = "file or folder" if location.scheme == "file" else "file, folder or bucket"
        raise MissingError(f"{location}: no such {kinds}") from error
    except (PermissionError, NoCredentialsError) as error:
        raise StorageError(
            f"{location}: access refused; expected credentials that may use it in the environment "
            "(for s3:// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or an "
            "instance role, AWS_ENDPOINT_URL for other servers)"
        ) from error
    except (MemoryError, OverflowError) as error:
        raise StorageError(f"{location}: asked for more than memory holds; is its manifest right?") from error
    except (UnreachableError, HTTPClientError) as error:
        raise StorageError(
            f"{location}: the store does not answer ({error}); expected one that runs, at the address in "
            f"{ENDPOINT_VARIABLE} if it is not Amazon's"
        ) from error
    except (OSError, BotoCoreError, ClientError) as error:
        if isinstance(error, OSError) and error.errno in _CANNOT_EXIST:
            raise MissingError(f"{location}: no such file or folder ({error.strerror})") from error
        raise StorageError(f"{location}: {type(error).__name__}: {error}") from error


def _check_endpoint() -> None:
    endpoint = os.environ.get(ENDPOINT_VARIABLE)
    if endpoint and not re.match(r"https?://[^/]", endpoint):
        raise ValueError(f"{ENDPOINT_VARIABLE} is {endpoint!r}, expected http://HOST:PORT or https://HOST")
