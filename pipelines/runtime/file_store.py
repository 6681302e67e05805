"""Files of this machine and of the other schemes that fsspec knows. No call takes patterns."""

from __future__ import annotations

import errno
import os
import posixpath
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fsspec


class FileStore:
    """Files of one scheme; a path is absolute for file://, else what follows the scheme.

    Args:
        scheme: such as file, memory or gs.

    Raises:
        ValueError, ImportError: fsspec does not know the scheme, or its package is not installed.
    """

    def __init__(self, scheme: str) -> None:
        self._is_local = scheme == "file"
        # Listings are not kept, since other processes write, too.
        options: dict[str, Any] = {"auto_mkdir": True} if self._is_local else {}
        self._files = fsspec.filesystem(scheme, use_listings_cache=False, **options)

    def exists(self, path: str) -> bool:
        """Tell whether there is a file or folder."""
        return bool(self._files.exists(path))

    def size_bytes(self, path: str) -> int:
        """Return a file's size."""
        return int(self._files.size(path))

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return bytes(self._files.cat_file(path))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` on; fewer where the file ends before."""
        return bytes(self._files.cat_file(path, start=start, end=start + length))

    def write(self, path: str, data: bytes) -> None:
        """Write a file: all of it or nothing."""
        if not self._is_local:
            self._files.pipe_file(path, data)  # an object appears only when it is complete
            return
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(data)
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def check_writable(self, path: str) -> None:
        """Check the rights of a local folder, or of that which it would be made in; ask no other store.

        Raises:
            PermissionError, FileExistsError: nothing can be written there.
        """
        if not self._is_local:
            return
        existing = next(place for place in (Path(path), *Path(path).parents) if place.exists())
        if not existing.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(existing))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file to be written from its beginning to its end."""
        with self._files.open(path, "wb") as stream:
            yield stream

    def children(self, path: str) -> list[str]:
        """Return the names directly beneath; none for a missing folder."""
        try:
            found = self._files.ls(path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        folder = path.strip("/")
        names = {posixpath.basename(p.rstrip("/")) for p in found if p.strip("/") != folder}
        return sorted(names - {""})

    def files(self, path: str) -> list[str]:
        """Return the relative paths of all files beneath; markers of empty folders are left out."""
        root = f"{path.strip('/')}/" if path.strip("/") else ""
        found = (p.lstrip("/") for p in self._files.find(path) if not p.endswith("/"))
        return [p.removeprefix(root) for p in found if p.startswith(root)]

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with what a listing names in it."""
        if not self._files.exists(path):
            return
        if self._is_local:
            self._files.rm(path, recursive=True)
            return
        entries = self._files.find(path, withdirs=True, detail=True)
        files = {name for name, entry in entries.items() if entry["type"] == "file"}
        for name in sorted(files):
            self._files.rm_file(name)
        for name in sorted({path, *entries} - files, reverse=True):  # inner folders first
            if self._files.isdir(name):
                self._files.rmdir(name)
