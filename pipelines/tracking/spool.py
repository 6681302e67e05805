"""A queue on disk between the training loop and the tracking server.

A folder holds segments (`000001.jsonl`, ...: one entry a line), `blobs/` (what entries carry beside their
line: a file or a folder each) and `spool.json` (what was sent, what was superseded, what was dropped). An
entry is safe from the death of its process as soon as `append` returns. One process at a time owns a folder.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import logging
import os
import re
import shutil
import threading
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.runtime.redaction import redact
from pipelines.tracking.spool_entries import (
    MOST_PENDING_BYTES,
    checked_entry,
    checked_state,
    inflated,
    unpacked,
)

logger = logging.getLogger(__name__)

STATE_NAME = "spool.json"
_SMALL_BYTES = 1 << 16
_SEGMENT = re.compile(r"\d{6,18}")


class SpoolInUseError(Exception):
    """Another live tracker owns the folder."""


@dataclass(frozen=True, order=True)
class Position:
    """A place between two entries: a segment's number and a byte offset in it."""

    segment: int
    offset: int


@dataclass(frozen=True)
class Entry:
    """One entry; `data` is None where nothing is left to send (superseded, or cut off by a crash)."""

    data: dict[str, Any] | None
    end: Position


class Spool:
    """See the module. Thread-safe: one thread may read and acknowledge while others append.

    Args:
        folder: made where it is missing.
        max_bytes: over this much unsent, entries are dropped and counted.
        segment_bytes: a segment is deleted once sent, and a new one begun at this size.

    Raises:
        SpoolInUseError: another spool object, here or in another process, owns the folder.
    """

    def __init__(self, folder: Path, max_bytes: int = 1 << 30, segment_bytes: int = 4 << 20) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._guard = threading.RLock()
        self._active: BinaryIO | None = None
        self._lock_file = self._own(folder)
        state = self._load_state()
        self.uid: str = state["uid"]
        self.dropped: int = state["dropped"]
        self._sent = Position(*state["sent"])
        self._cuts: list[tuple[int, int]] = [(segment, step) for segment, step in state["cuts"]]
        self._next_segment = max(self._segments(), default=self._sent.segment) + 1
        if self.drained:
            shutil.rmtree(folder / "blobs", ignore_errors=True)
        self._bytes = self.pending_bytes
        self._save_state()

    @staticmethod
    def _own(folder: Path) -> BinaryIO | None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock_file = (folder / "lock").open("wb")
        except OSError as error:
            logger.error("The tracking spool %s cannot be made (%s): metrics will be dropped.", folder, error)
            return None
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock_file.close()
            raise SpoolInUseError(f"{folder} is in use by another tracker") from None
        return lock_file

    def _load_state(self) -> dict[str, Any]:
        empty = {"uid": uuid.uuid4().hex, "sent": [0, 0], "cuts": [], "dropped": 0}
        try:
            return checked_state(empty | json.loads((self.folder / STATE_NAME).read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return empty
        except (ValueError, TypeError, RecursionError) as error:
            logger.warning(
                "%s is unreadable (%s): the whole spool is sent again.", self.folder / STATE_NAME, error
            )
            return empty

    def _save_state(self) -> None:
        state = {"uid": self.uid, "sent": [self._sent.segment, self._sent.offset], "cuts": self._cuts}
        temporary = self.folder / f"{STATE_NAME}.new"
        try:
            temporary.write_text(json.dumps(state | {"dropped": self.dropped}))
            temporary.replace(self.folder / STATE_NAME)
        except (
            OSError
        ) as error:  # a full disk: what was sent may be sent twice, which the server takes as once
            logger.debug("%s was not written: %s", self.folder / STATE_NAME, error)

    # -- writing

    def append(
        self, entry: Mapping[str, Any], blob: bytes | Path | None = None, blob_name: str = "blob"
    ) -> bool:
        """Adds an entry with a file's bytes, a file to copy or a folder to take over. False where dropped."""
        with self._guard:
            place = f"blobs/{uuid.uuid4().hex}" if blob is not None else None
            try:
                if blob is not None and place is not None:
                    self._store(blob, self.folder / place, blob_name)
                    entry = {**entry, "blob": place}
                self._write((redact(json.dumps(entry)) + "\n").encode())
            except (OSError, TypeError, ValueError) as error:
                self._drop(error, None if place is None else self.folder / place)
                return False
            return True

    def _store(self, blob: bytes | Path, place: Path, name: str) -> None:
        if Path(name).name != name:
            raise ValueError(f"a file's name is {name!r}, expected one without folders")
        size = len(blob) if isinstance(blob, bytes) else _size(blob)
        self._require_room(size)
        place.mkdir(parents=True)
        if isinstance(blob, bytes):
            (place / name).write_bytes(blob)
        elif blob.is_dir():
            shutil.move(blob, place / name)
        else:
            shutil.copyfile(blob, place / name)
        self._bytes += size

    def _write(self, line: bytes) -> None:
        self._require_room(len(line))
        active = self._segment_to_write()
        size = active.seek(0, os.SEEK_END)
        try:
            written = os.write(active.fileno(), line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(active.fileno(), size)  # half a line would spoil the next one
            raise
        self._bytes += len(line)

    def _require_room(self, size: int) -> None:
        if self._lock_file is None or self._bytes + size > self._max_bytes:
            raise OSError(errno.EDQUOT, f"the spool may hold {self._max_bytes} bytes")

    def _segment_to_write(self) -> BinaryIO:
        """The active segment; a new one where it is full, or sent so that its room can be given back."""
        if self._active is not None:
            size = self._active.seek(0, os.SEEK_END)
            sent = self._sent == Position(self._next_segment - 1, size)
            if size >= self._segment_bytes or (sent and size >= _SMALL_BYTES):
                self._end_segment()
        if self._active is None:
            self._active = self._segment_path(self._next_segment).open("ab", buffering=0)
            self._next_segment += 1
        return self._active

    def _end_segment(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None

    def _drop(self, error: Exception, place: Path | None) -> None:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        self.count_dropped(1, f"spool {self.folder}: {error}")

    def count_dropped(self, entries: int, reason: str) -> None:
        """Counts what will never reach the server; warns at the first and then at each doubling."""
        with self._guard:
            before, self.dropped = self.dropped, self.dropped + entries
        if self.dropped.bit_length() != before.bit_length():
            logger.warning(
                "Tracking dropped %d entries so far, the last for: %s", self.dropped, redact(reason)
            )

    def supersede(self, step: int) -> None:
        """Drops what is unsent of steps after `step`, which the run is about to take again."""
        with self._guard:
            self._end_segment()
            self._cuts.append((self._next_segment, step))
            self._save_state()

    # -- reading

    def read(self, max_entries: int) -> list[Entry]:
        """The oldest entries that were not acknowledged."""
        entries: list[Entry] = []
        for entry in self._unsent():
            entries.append(entry)
            if len(entries) == max_entries:
                break
        return entries

    def _unsent(self) -> Iterator[Entry]:
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
                        yield Entry(self._parse(line, segment), Position(segment, offset))

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

    def acknowledge(self, entries: list[Entry]) -> None:
        """Marks entries, the oldest ones, as sent and gives their room back."""
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
        """Bytes on disk that were not acknowledged."""
        with self._guard:
            lines = sum(
                self._segment_path(s).stat().st_size for s in self._segments() if s >= self._sent.segment
            )
            return (
                lines
                - self._sent.offset * (self._sent.segment in self._segments())
                + _size(self.folder / "blobs")
            )

    def _segments(self) -> list[int]:
        stems = (path.stem for path in self.folder.glob("*.jsonl"))
        return sorted(int(stem) for stem in stems if _SEGMENT.fullmatch(stem))

    def _segment_path(self, segment: int) -> Path:
        return self.folder / f"{segment:06d}.jsonl"

    # -- travelling

    def pending(self, max_bytes: int = MOST_PENDING_BYTES) -> bytes:
        """The unsent entries with their files, small ones first, while they fit; for another's `adopt`."""
        with self._guard:
            lines = [self._portable(entry.data) for entry in self._unsent() if entry.data is not None]
        by_size = sorted(range(len(lines)), key=lambda index: len(lines[index]) > _SMALL_BYTES)
        chosen, room = [], max_bytes
        for index in by_size:
            if 0 < len(lines[index]) <= room:
                chosen.append(index)
                room -= len(lines[index])
        if len(chosen) < len(lines):
            logger.warning(
                "%d of %d unsent entries do not fit a checkpoint.", len(lines) - len(chosen), len(lines)
            )
        header = json.dumps({"spool": self.uid}).encode()
        return zlib.compress(b"\n".join([header, *(lines[index] for index in sorted(chosen))]), level=1)

    def _portable(self, data: dict[str, Any]) -> bytes:
        """A line that carries its file with it; empty for what cannot travel (a folder, a lost file)."""
        if "blob" not in data:
            return json.dumps(data).encode()
        files = list((self.folder / data["blob"]).glob("*"))
        if len(files) != 1 or not files[0].is_file():
            return b""
        content = base64.b64encode(files[0].read_bytes()).decode()
        return json.dumps({**data, "blob_name": files[0].name, "blob_base64": content}).encode()

    def adopt(self, pending: bytes) -> None:
        """Appends what `pending` gave elsewhere; nothing if it came from this folder, which holds it all.

        It came with a checkpoint, so it is not trusted: it can neither name files nor unfold without end.
        """
        try:
            header, *lines = inflated(pending).split(b"\n")
            if json.loads(header)["spool"] == self.uid:
                return
            entries = [unpacked(json.loads(line)) for line in lines]
        except (zlib.error, ValueError, TypeError, KeyError, RecursionError) as error:
            self.count_dropped(1, f"what travelled with the checkpoint is unreadable: {error}")
            return
        for entry, content, name in entries:
            self.append(entry, content, name)

    def close(self) -> None:
        """Gives the folder free; what is unsent stays in it."""
        with self._guard:
            self._end_segment()
            if self._lock_file is not None:
                self._save_state()
                self._lock_file.close()
                self._lock_file = None


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
