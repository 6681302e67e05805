"""A file in a store as a stream of which ranges are read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.runtime.storage import Location


class RangeFile(io.RawIOBase):
    """A file in a store, read by ranges: a request for each read.

    Args:
        location: the file.
        size_bytes: its size, asked for where it is needed and not given.
    """

    def __init__(self, location: Location, size_bytes: int | None = None) -> None:
        super().__init__()
        self._location = location
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, counted from the beginning, from here or from the end."""
        start = 0
        if whence == io.SEEK_CUR:
            start = self._position
        elif whence == io.SEEK_END:
            start = self._end()
        self._position = start + position
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that follow where it is negative."""
        if size < 0:
            size = max(0, self._end() - self._position)
        data = self._location.read_range(self._position, size)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        """Return all that follows, by one request: the base class makes one every few kilobytes."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return the number of bytes, 0 at the end."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _end(self) -> int:
        if self._size_bytes is None:
            self._size_bytes = self._location.size_bytes()
        return self._size_bytes
