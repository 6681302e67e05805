"""The two spools of one tracker: records, which are small, and files, which take long on a slow line.

Each is sent by a thread of its own, so that a run's metrics and its end do not wait for its models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.tracking.portable_entries import MOST_PENDING_BYTES, pack_lines
from pipelines.tracking.spool import Spool, SpoolInUseError

FILES_FOLDER = "files"
"""Folder of the spool of files, in that of the records."""

_OPS_WITH_FILES = frozenset({"artifact", "image", "model"})


class SpoolPair:
    """Spool of records in a folder and, in a folder of it, the spool of files.

    A spool that holds files among its records, as they were kept at first, is sent as it is.

    Attributes:
        folder: folder of both.
        records: spool of what takes one small request.
        files: spool of what takes an upload: pictures, texts, models.

    Raises:
        SpoolInUseError: another process, or another object here, owns one of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = Spool(folder)
        try:
            self.files = Spool(folder / FILES_FOLDER)
        except SpoolInUseError:
            self.records.close()
            raise

    def append(
        self, entry: Mapping[str, Any], blob: bytes | Path | None = None, blob_name: str = "blob"
    ) -> bool:
        """Add an entry to the spool that its kind belongs to; see `Spool.append`."""
        spool = self.files if entry["op"] in _OPS_WITH_FILES else self.records
        return spool.append(entry, blob, blob_name)

    @property
    def dropped(self) -> int:
        """Number of entries that will never reach the server."""
        return self.records.dropped + self.files.dropped

    @property
    def pending_bytes(self) -> int:
        """Bytes on disk of entries that were not acknowledged."""
        return self.records.pending_bytes + self.files.pending_bytes

    def supersede(self, step: int) -> None:
        """Drop unsent entries of steps after `step`, which the run is about to repeat."""
        self.records.supersede(step)
        self.files.supersede(step)

    def pending(self) -> bytes:
        """Pack the unsent entries, for `adopt` elsewhere; those of large files are left out first."""
        lines = [*self.records.portable_lines(), *self.files.portable_lines()]
        return pack_lines(self.records.uid, lines, MOST_PENDING_BYTES)

    def adopt(self, pending: bytes) -> None:
        """Append the entries that another pair's `pending` packed; count them as dropped if unreadable."""
        self.records.adopt(pending, self.append)

    def close(self) -> None:
        """Release both; unsent entries stay."""
        self.records.close()
        self.files.close()
