"""Validation of a spool's state and entries, which are read again after crashes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

_BLOB = re.compile(r"blobs/[0-9a-f]{32}")


class SpoolState(BaseModel):
    """Contents of a spool's `spool.json`."""

    model_config = ConfigDict(strict=True)

    uid: str = Field(default_factory=lambda: uuid.uuid4().hex)
    """Identity of the spool, by which it recognizes its own entries in a checkpoint."""

    sent: tuple[NonNegativeInt, NonNegativeInt] = (0, 0)
    """Segment and byte offset up to which entries were sent."""

    cuts: list[tuple[int, int]] = []
    """(segment, step): entries of earlier segments and later steps are superseded."""

    dropped: NonNegativeInt = 0
    """Number of entries that will never reach the server."""


def first_problem(error: ValidationError) -> str:
    """Describe the first problem of a validation in one line, without the values."""
    problem = error.errors()[0]
    location = ".".join(str(key) for key in problem["loc"])
    return f"{location}: {problem['msg']}" if location else problem["msg"]


def checked_entry(data: Any) -> dict[str, Any]:
    """Return the entry that a line of JSON holds.

    Raises:
        ValueError: not an entry, or one whose file would lie outside of the spool.
    """
    if not isinstance(data, dict) or not isinstance(data.get("op"), str):
        raise ValueError("no entry")
    if type(data.get("step", 0)) is not int or not isinstance(data.get("metrics", {}), dict):
        raise ValueError(f"an entry {data['op']!r} whose step is no integer or whose metrics are no object")
    time = data.get("time", 0)  # milliseconds since 1970
    if type(time) is not int or not 0 <= time < 1 << 53:
        raise ValueError(f"an entry {data['op']!r} at {time!r}, expected milliseconds")
    if "blob" in data and not (isinstance(data["blob"], str) and _BLOB.fullmatch(data["blob"])):
        raise ValueError(f"an entry with a file at {data['blob']!r}")
    return data


def blob_path(spool_folder: Path, entry: Mapping[str, Any]) -> Path:
    """Return the path of the file or folder that belongs to an entry.

    Raises:
        FileNotFoundError: it is gone.
    """
    folder = spool_folder / str(entry["blob"])
    files = list(folder.iterdir())
    if len(files) != 1:
        raise FileNotFoundError(f"{folder} should hold one file, holds {len(files)}")
    return files[0]
