"""Queue on disk between the training loop and the tracking server.

A folder holds segments (`000001.jsonl`, ...: one entry per line), `blobs/` (a file or a folder for each entry
that has one) and `spool.json` (which entries were sent or superseded, how many were dropped). An entry is
safe from the death of its process as soon as `append` returns. One process at a time owns a folder.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from charmnet.errors import StorageError
from pipelines.runtime.redaction import redact, redact_values
from pipelines.tracking.portable_entries import MOST_PENDING_BYTES, pack_lines, portable_line, unpack_entries
from pipelines.tracking.spool_entries import SpoolState, checked_entry, first_problem

logger = logging.getLogger(__name__)

STATE_NAME = "spool.json"
_SMALL_BYTES = 1 << 16
_SEGMENT = re.compile(r"\d{6,18}")


class SpoolInUseError(StorageError):
    """A live tracker, here or in another process, owns the folder."""


@dataclass(frozen=True, order=True)
class Position:
    """Position between two entries: a segment's number and a byte offset in it."""

    segment: int
    offset: int


@dataclass(frozen=True)
class SpoolEntry:
    """One entry of a spool."""

    data: dict[str, Any] | None
    """Fields of the entry; None if it must not be sent (superseded, or cut off by a crash)."""

    end: Position
    """Position after the entry."""


class Spool:
    """Queue of entries in a folder; one thread may read and acknowledge while others append.

    Args:
        folder: created if it is missing.
        max_bytes: limit of the unsent entries; more are dropped and counted.
        segment_bytes: size at which a new segment begins; segments are deleted once sent.

    Raises:
        SpoolInUseError: another spool object, here or in another process, owns the folder.
    """

    def __init__(self, folder: Path, max_bytes: int = 1 << 30, segment_bytes: int = 4 << 20) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._guard = threading.RLock()
        self._active: BinaryIO | None = None
        self._lock_file = self._lock(folder)
        state = self._load_state()
        self.uid = state.uid
        self.dropped = state.dropped
        self._sent = Position(*state.sent)
        self._cuts = state.cuts
        self._next_segment = max(self._segments(), default=self._sent.segment) + 1
        if self.drained:
            shutil.rmtree(folder / "blobs", ignore_errors=True)
        self._bytes = self.pending_bytes
        self._save_state()

    @staticmethod
    def _lock(folder: Path) -> BinaryIO | None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock_file = (folder / "lock").open("wb")
        except OSError as error:
            logger.warning("The spool %s cannot be created (%s): metrics will be dropped.", folder, error)
            return None
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock_file.close()
            raise SpoolInUseError(f"{folder} is in use by another tracker") from None
        return lock_file

    def _load_state(self) -> SpoolState:
        path = self.folder / STATE_NAME
        try:
            return SpoolState.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):  # a new spool, or one that cannot be created
            return SpoolState()
        except ValidationError as error:
            logger.warning(
                "%s is unreadable (%s): the whole spool is sent again.", path, first_problem(error)
            )
            return SpoolState()

    def _save_state(self) -> None:
        sent = (self._sent.segment, self._sent.offset)
        state = SpoolState(uid=self.uid, sent=sent, cuts=self._cuts, dropped=self.dropped)
        temporary = self.folder / f"{STATE_NAME}.new"
        try:
            temporary.write_text(state.model_dump_json())
            temporary.replace(self.folder / STATE_NAME)
        except OSError as error:  # a full disk: entries may be sent twice, which the server takes as once
            logger.debug("%s was not written: %s", self.folder / STATE_NAME, error)

    # -- writing

    def append(
        self, entry: Mapping[str, Any], blob: bytes | Path | None = None, blob_name: str = "blob"
    ) -> bool:
        """Add an entry, with the content of a file, a file to copy or a folder to move away.

        Returns:
            Whether it was added; if not, it was counted as dropped.
        """
        with self._guard:
            blob_path = f"blobs/{uuid.uuid4().hex}" if blob is not None else None
            try:
                if blob is not None and blob_path is not None:
                    self._store(blob, self.folder / blob_path, blob_name)
                    entry = {**entry, "blob": blob_path}
                self._write((json.dumps(redact_values(entry)) + "\n").encode())
            except (OSError, TypeError, ValueError) as error:
                self._drop(error, None if blob_path is None else self.folder / blob_path)
                return False
            return True

    def _store(self, blob: bytes | Path, folder: Path, name: str) -> None:
        if Path(name).name != name:
            raise ValueError(f"a file's name is {name!r}, expected one without folders")
        size = len(blob) if isinstance(blob, bytes) else _size(blob)
        self._require_room(size)
        folder.mkdir(parents=True)
        if isinstance(blob, bytes):
            (folder / name).write_bytes(blob)
        elif blob.is_dir():
            shutil.move(blob, folder / name)
        else:
            shutil.copyfile(blob, folder / name)
        self._bytes += size

    def _write(self, line: bytes) -> None:
        self._require_room(len(line))
        active = self._segment_to_write()
        size = active.seek(0, os.SEEK_END)
        try:
            _write_all(active, line)
        except OSError:
            os.ftruncate(active.fileno(), size)  # half a line would spoil the next one
            raise
        self._bytes += len(line)

    def _require_room(self, size: int) -> None:
        if self._lock_file is None or self._bytes + size > self._max_bytes:
            raise OSError(errno.EDQUOT, f"the spool may hold {self._max_bytes} bytes")

    def _segment_to_write(self) -> BinaryIO:
        """Return the active segment; a new one if that is full, or was sent and can then be deleted."""
        if self._active is not None:
            size = self._active.seek(0, os.SEEK_END)
            sent = self._sent == Position(self._next_segment - 1, size)
            if size >= self._segment_bytes or (sent and size >= _SMALL_BYTES):
                self._close_segment()
        if self._active is None:
            self._active = self._segment_path(self._next_segment).open("ab", buffering=0)
            self._next_segment += 1
        return self._active

    def _close_segment(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None

    def _drop(self, error: Exception, blob_folder: Path | None) -> None:
        if blob_folder is not None:
            shutil.rmtree(blob_folder, ignore_errors=True)
        self.count_dropped(1, f"spool {self.folder}: {error}")

    def count_dropped(self, entries: int, reason: str) -> None:
        """Count entries that will never reach the server; warn at the first and then at each doubling."""
        with self._guard:
            before = self.dropped
            self.dropped += entries
        if self.dropped.bit_length() != before.bit_length():
            logger.warning(
                "Tracking dropped %d entries so far, the last for: %s", self.dropped, redact(reason)
            )

    def supersede(self, step: int) -> None:
        """Drop unsent entries of steps after `step`, which the run is about to repeat."""
        with self._guard:
            self._close_segment()
            self._cuts.append((self._next_segment, step))
            self._save_state()

    # -- reading

    def read(self, max_entries: int) -> list[SpoolEntry]:
        """Return the oldest entries that were not acknowledged."""
        return list(islice(self._unsent(), max_entries))

    def _unsent(self) -> Iterator[SpoolEntry]:
        sent = self._sent
        for segment in self._segments():
            if segment < sent.segment:
                continue
            offset = sent.offset if segment == sent.segment else 0
            with self._segment_path(segment).open("rb") as file:
                file.seek(offset)
                for line in file:
                    offset += len(line)
                    if line.endswith(b"\n"):
                        yield SpoolEntry(self._parse(line, segment), Position(segment, offset))

    def _parse(self, line: bytes, segment: int) -> dict[str, Any] | None:
        try:
            data = checked_entry(json.loads(line))
        except (ValueError, RecursionError) as error:
            self.count_dropped(1, f"unreadable line in {self._segment_path(segment)}: {error}")
            return None
        step = data.get("step", -1)
        by_clock = data.get("by_clock", False)
        superseded = any(segment < cut and step > last and not by_clock for cut, last in self._cuts)
        return None if superseded else data

    def acknowledge(self, entries: list[SpoolEntry]) -> None:
        """Mark entries, the oldest ones, as sent and delete their files."""
        with self._guard:
            self._sent = entries[-1].end
            self._cuts = [(cut, last) for cut, last in self._cuts if cut > self._sent.segment]
            self._save_state()
            for entry in entries:
                if entry.data and "blob" in entry.data:
                    shutil.rmtree(self.folder / entry.data["blob"], ignore_errors=True)
            for segment in self._segments():
                if segment < self._sent.segment:
                    self._segment_path(segment).unlink(missing_ok=True)
            self._bytes = self.pending_bytes

    @property
    def drained(self) -> bool:
        """Whether every entry was acknowledged."""
        with self._guard:
            return next(self._unsent(), None) is None

    @property
    def pending_bytes(self) -> int:
        """Bytes on disk of entries that were not acknowledged."""
        with self._guard:
            unsent = [segment for segment in self._segments() if segment >= self._sent.segment]
            lines = sum(self._segment_path(segment).stat().st_size for segment in unsent)
            sent = self._sent.offset if self._sent.segment in unsent else 0
            return lines - sent + _size(self.folder / "blobs")

    def _segments(self) -> list[int]:
        stems = (path.stem for path in self.folder.glob("*.jsonl"))
        return sorted(int(stem) for stem in stems if _SEGMENT.fullmatch(stem))

    def _segment_path(self, segment: int) -> Path:
        return self.folder / f"{segment:06d}.jsonl"

    # -- carrying unsent entries in a checkpoint

    def pending(self, max_bytes: int = MOST_PENDING_BYTES) -> bytes:
        """Pack the unsent entries with their files, for `adopt` by another spool.

        Args:
            max_bytes: limit of the packed entries; large ones are left out first.
        """
        return pack_lines(self.uid, self.portable_lines(), max_bytes)

    def portable_lines(self) -> list[bytes]:
        """Return the unsent entries as lines that contain their files."""
        with self._guard:
            unsent = [entry.data for entry in self._unsent() if entry.data is not None]
            return [portable_line(entry, self.folder) for entry in unsent]

    def adopt(self, pending: bytes, append: Callable[..., object] | None = None) -> None:
        """Append the entries that another spool's `pending` packed; count them as dropped if unreadable.

        Args:
            pending: packed entries.
            append: takes an entry, the content of its file and that file's name; default: `append`.
        """
        try:
            entries = unpack_entries(pending, self.uid)
        except ValueError as error:
            self.count_dropped(1, f"the unsent entries in the checkpoint are unreadable: {error}")
            return
        for entry, content, name in entries:
            (append or self.append)(entry, content, name)

    def close(self) -> None:
        """Release the folder's lock; unsent entries stay in it."""
        with self._guard:
            self._close_segment()
            if self._lock_file is not None:
                self._save_state()
                self._lock_file.close()
                self._lock_file = None


def _write_all(file: BinaryIO, data: bytes) -> None:
    if os.write(file.fileno(), data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
