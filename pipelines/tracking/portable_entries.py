"""Packing a spool's unsent entries into a checkpoint, and unpacking them on another machine.

Packed entries come with a checkpoint and are not trusted: they can neither name files outside of the spool
that takes them nor decompress without limit.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charmnet.errors import in_words
from pipelines.tracking.spool_entries import checked_entry

logger = logging.getLogger(__name__)

MOST_PENDING_BYTES = 16 << 20
"""Limit of the unsent entries in a checkpoint, before and after compression."""

_SMALL_BYTES = 1 << 16

PortableEntry = tuple[dict[str, Any], bytes | None, str]
"""Entry, content of its file if it has one, and name of that file."""


def portable_line(entry: dict[str, Any], folder: Path) -> bytes:
    """Return an entry of a spool's folder as a line that contains its file.

    Empty for an entry with a folder or without its file, which cannot be packed.
    """
    if "blob" not in entry:
        return json.dumps(entry).encode()
    files = list((folder / entry["blob"]).glob("*"))
    if len(files) != 1 or not files[0].is_file():
        return b""
    content = base64.b64encode(files[0].read_bytes()).decode()
    return json.dumps({**entry, "blob_name": files[0].name, "blob_base64": content}).encode()


def pack_lines(spool_uid: str, lines: Sequence[bytes], max_bytes: int) -> bytes:
    """Compress portable lines in order, leaving out the large ones first where they exceed a limit."""
    by_size = sorted(range(len(lines)), key=lambda index: len(lines[index]) > _SMALL_BYTES)
    chosen: list[int] = []
    room = max_bytes
    for index in by_size:
        if 0 < len(lines[index]) <= room:
            chosen.append(index)
            room -= len(lines[index])
    if len(chosen) < len(lines):
        left_out = len(lines) - len(chosen)
        logger.warning("%d of %d unsent entries do not fit a checkpoint.", left_out, len(lines))
    header = json.dumps({"spool": spool_uid}).encode()
    return zlib.compress(b"\n".join([header, *(lines[index] for index in sorted(chosen))]), level=1)


def unpack_entries(packed: bytes, spool_uid: str) -> list[PortableEntry]:
    """Unpack the entries of another spool; none if they come from this one, which still holds them.

    Args:
        packed: result of `pack_lines`.
        spool_uid: identity of the spool that takes the entries.

    Raises:
        ValueError: not a result of `pack_lines`, or larger than one.
    """
    try:
        header, *lines = _decompress(packed).split(b"\n")
        if json.loads(header)["spool"] == spool_uid:
            return []
        return [_unpack(json.loads(line)) for line in lines]
    except (zlib.error, TypeError, KeyError, RecursionError) as error:
        raise ValueError(in_words(error)) from error


def _unpack(line: Any) -> PortableEntry:
    entry = checked_entry(line)
    content, name = entry.pop("blob_base64", None), entry.pop("blob_name", "blob")
    entry.pop("blob", None)  # a path in the spool that packed it
    if not isinstance(name, str):
        raise ValueError(f"an entry with a file called {name!r}")
    return entry, None if content is None else base64.b64decode(content), name


def _decompress(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, 2 * MOST_PENDING_BYTES)
    if not inflater.eof:
        raise ValueError("cut short, or larger than a spool packs")
    return content
