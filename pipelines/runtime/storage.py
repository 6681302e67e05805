"""A URI and the environment give one place: s3://, file://, a plain path, and whatever else fsspec speaks.

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
from collections.abc import Iterable, Iterator
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
"""Of a JSON file, unless its reader allows more: read, it takes many times its bytes."""


_CANNOT_EXIST = (errno.ENAMETOOLONG, errno.ENOTDIR)


class MissingError(StorageError):
    """There is no such file or folder, as against a store that does not answer."""


@dataclass(frozen=True)
class Location:
    """A file or folder somewhere.

    Attributes:
        uri: `scheme://path` without a trailing slash; local places are `file:///absolute/path`. Names stand
            in it as they are: nothing is percent-encoded, and #, ?, % and blanks mean nothing.
    """

    uri: str

    @classmethod
    def of(cls, place: str | Path | Location) -> Location:
        """From what a user wrote; a plain path is made absolute.

        Raises:
            ValueError: the URI names no bucket, another machine's file or an unknown user's home, or carries
                a user, a password or a query, which belong into the environment.
        """
        if isinstance(place, Location):
            return place
        text = os.fspath(place)
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
        """A place beneath this one.

        Raises:
            StorageError: `name` is absolute or would leave this place ("../").
        """
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\0" in name or "://" in name:
            raise StorageError(f"{self}: the path {name!r} would leave it; expected a relative path beneath")
        return Location(f"{self.uri}{'' if self.uri.endswith('/') else '/'}{name}")

    @property
    def scheme(self) -> str:
        return self.uri.partition("://")[0]

    @property
    def name(self) -> str:
        return posixpath.basename(self.uri)

    @property
    def parent(self) -> Location:
        """The folder around it; a bucket and the root are their own."""
        if self.scheme == "file":
            return Location(f"file://{posixpath.dirname(self._path)}")
        return Location(posixpath.dirname(self.uri)) if "/" in self._path else self

    @property
    def local_path(self) -> Path | None:
        """The path on this machine, or None for a remote place."""
        return Path(self._path) if self.scheme == "file" else None

    @property
    def _path(self) -> str:
        return self.uri.partition("://")[2]

    def filesystem(self) -> Any:
        """The fsspec filesystem; listings are never cached, since other processes write too.

        Raises:
            ValueError: AWS_ENDPOINT_URL is no URL. StorageError: no such scheme.
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
        """Arrow's filesystem and the path in it: the fast way for reading shards by range."""
        if self.scheme == "file":
            return pyarrow.fs.LocalFileSystem(), self._path
        if self.scheme == "s3":
            environment = tuple((name, text) for name, text in os.environ.items() if name.startswith("AWS_"))
            return _s3(environment), self._path
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(self.filesystem())), self._path

    @contextmanager
    def open(self, mode: str = "rb") -> Iterator[IO[Any]]:
        """Opens the file; what the store says is turned into a `StorageError` that names this place."""
        with _named(self), self.filesystem().open(self._path, mode) as stream:
            yield stream

    def exists(self) -> bool:
        with _named(self):
            return bool(self.filesystem().exists(self._path))

    def size_bytes(self) -> int:
        with _named(self):
            return int(self.filesystem().size(self._path))

    def read_bytes(self) -> bytes:
        with _named(self):
            return bytes(self.filesystem().cat_file(self._path))

    def read_range(self, start: int, length: int) -> bytes:
        with _named(self):
            return bytes(self.filesystem().cat_file(self._path, start=start, end=start + length))

    def write_bytes(self, data: bytes) -> None:
        """Writes the whole file or nothing: readers never see half of it."""
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
        """
        Raises:
            StorageError: it cannot be read, is no JSON, or is larger than `limit_bytes`.
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
        """What lies directly beneath, sorted by name; nothing where the folder does not exist."""
        with _named(self):
            try:
                paths = self.filesystem().ls(self._path, detail=False)
            except FileNotFoundError:
                return []
        own = self._path.rstrip("/")
        names = sorted({posixpath.basename(p.rstrip("/")) for p in paths if p.rstrip("/") != own})
        return [self / name for name in names if name]

    def walk_files(self) -> list[str]:
        """Relative paths of all files beneath, sorted; empty objects that stand for folders are none."""
        with _named(self):
            found = self.filesystem().find(self._path)
        root = self._path.rstrip("/") + "/"
        return sorted(p.removeprefix(root) for p in found if p.startswith(root) and not p.endswith("/"))

    def delete(self) -> None:
        """Removes the file or the folder with all beneath; nothing to remove is fine."""
        with _named(self):
            filesystem = self.filesystem()
            if filesystem.exists(self._path):
                filesystem.rm(self._path, recursive=True)
                # S3 answers one request for many objects, and s3fs passes over those that it refused.
                if self.scheme == "s3" and self._holds_files(filesystem):
                    raise PermissionError(f"{self} may not be deleted")

    def _holds_files(self, filesystem: Any) -> bool:
        """Whether there is a file here or beneath; a store may show empty folders for a while."""
        found = filesystem.find(self._path, detail=True)
        return any(entry["type"] == "file" for entry in found.values())

    def upload_folder(self, folder: Path) -> None:
        """Copies a local folder's files to beneath this place."""
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            (self / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())

    def download_folder(self, folder: Path) -> None:
        """Copies all files beneath this place into a local folder."""
        for name in self.walk_files():
            target = folder / (self / name).uri.removeprefix(f"{self.uri}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((self / name).read_bytes())


@lru_cache(maxsize=4)
def _s3(environment: tuple[tuple[str, str], ...]) -> pyarrow.fs.S3FileSystem:
    """Arrow's client, made once for what the environment says: making one takes 12 ms of CPU."""
    return pyarrow.fs.S3FileSystem(endpoint_override=dict(environment).get(ENDPOINT_VARIABLE))


@contextmanager
def _named(location: Location) -> Iterator[None]:
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
