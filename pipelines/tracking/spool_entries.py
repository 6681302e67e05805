"""What a spool's files may hold: they are read again after crashes, and some come with checkpoints."""

from __future__ import annotations

import base64
import re
import zlib
from typing import Any

MOST_PENDING_BYTES = 16 << 20
"""Of unsent entries, compressed or not, that travel with a checkpoint."""

_BLOB = re.compile(r"blobs/[0-9a-f]{32}")


def checked_state(state: Any) -> dict[str, Any]:
    """
    Raises:
        ValueError, TypeError: not what `Spool` writes.
    """
    (segment, offset), cuts = state["sent"], state["cuts"]
    numbers = (segment, offset, state["dropped"], *(number for cut in cuts for number in cut))
    if any(len(cut) != 2 for cut in cuts) or not all(type(number) is int for number in numbers):
        raise ValueError("not a spool's state")
    if not (isinstance(state["uid"], str) and min(segment, offset, state["dropped"]) >= 0):
        raise ValueError("not a spool's state")
    return state


def checked_entry(data: Any) -> dict[str, Any]:
    """
    Raises:
        ValueError: no entry, or one whose file would lie outside of the spool.
    """
    if not isinstance(data, dict) or not isinstance(data.get("op"), str):
        raise ValueError("no entry")
    if type(data.get("step", 0)) is not int or not isinstance(data.get("metrics", {}), dict):
        raise ValueError(f"an entry {data['op']!r} with a step or metrics of another kind")
    time = data.get("time", 0)  # milliseconds since 1970
    if type(time) is not int or not 0 <= time < 1 << 53:
        raise ValueError(f"an entry {data['op']!r} at {time!r}, expected milliseconds")
    if "blob" in data and not (isinstance(data["blob"], str) and _BLOB.fullmatch(data["blob"])):
        raise ValueError(f"an entry with a file at {data['blob']!r}")
    return data


def unpacked(data: Any) -> tuple[dict[str, Any], bytes | None, str]:
    """The entry, its file's content and name, of what `Spool.pending` packed; errors as `checked_entry`."""
    entry = checked_entry(data)
    content, name = entry.pop("blob_base64", None), entry.pop("blob_name", "blob")
    entry.pop("blob", None)  # where it lay there says nothing here
    if not isinstance(name, str):
        raise ValueError(f"an entry with a file called {name!r}")
    return entry, None if content is None else base64.b64decode(content), name


def inflated(data: bytes) -> bytes:
    """Decompressed; ValueError where it is more than `Spool.pending` packs."""
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(data, 2 * MOST_PENDING_BYTES)
    if not inflater.eof:
        raise ValueError("cut short, or larger than a spool packs")
    return inflated
