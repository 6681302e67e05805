"""Reading of tar archives in the WebDataset convention, whole or by byte range.

A sample is a run of members `NAME.composite.jpg`, `NAME.ground_truth.jpg`, `NAME.mask.png` and, optionally,
`NAME.json`. Archives are not trusted: nothing is unpacked to disk, names that leave the archive, links and
sparse files are refused, and the sizes of headers and members are limited.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa

from charmnet.errors import DataError
from pipelines.runtime.storage import Location
from pipelines.runtime.user_files import is_litter
from pipelines.shards.manifest import MANIFEST_NAME
from pipelines.shards.rows import Row, pair_row
from pipelines.shards.schema import PAIR_SCHEMA, ROW_GROUP_BYTES
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum

_ROLES = {"composite": "composite", "ground_truth": "ground_truth", "mask": "foreground_mask"}
_JSON_FIELDS = {"domain", "subset", "category", "splits", "composite_style", "ground_truth_style"}
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES = 1 << 16  # for long names and attributes; tarfile's search in them is worse than linear
_BROKEN = (tarfile.TarError, EOFError, ValueError, LookupError, RecursionError, OverflowError)


@dataclass
class TarSample:
    """The members of an archive that share one NAME.

    Attributes:
        name: NAME, with its folder in the archive.
        offset: position of the first member's header in the archive.
        end: position after the last member's padding.
        files: encoded pictures by role, and the JSON text under "json".
        problem: why the sample is refused, or None.
    """

    name: str
    offset: int
    end: int
    files: dict[str, bytes] = field(default_factory=dict)
    problem: str | None = None


class HashingReader:
    """A file object for `tarfile` that reads each byte once and hashes it.

    Raises:
        DataError: a header asks for more than `_MAX_HEADER_BYTES` at once or for a jump back.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0
        self._position = 0
        self._last = b""  # tarfile steps back one byte to check that a member is complete

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes of headers.

        Raises:
            DataError: `size` is above the limit for headers.
        """
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise DataError(f"a header asks for {size:,} bytes at once, the limit is {_MAX_HEADER_BYTES:,}")
        return self._read(size)

    def read_member(self, member: tarfile.TarInfo) -> bytes:
        """Read the content of a member.

        Raises:
            DataError: the archive ends before the member does.
        """
        self.seek(member.offset_data)
        data = self._read(member.size)
        if len(data) < member.size:
            raise DataError(f"not a whole tar archive: it ends in {member.name}")
        return data

    def _read(self, size: int) -> bytes:
        again = self._last if self._position < self._hashed_bytes else b""
        data = (again + self._read_and_hash(size - len(again)))[:size] if size else b""
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Move forward to a position, hashing the bytes in between, or back by one byte.

        Raises:
            DataError: the position lies further back.
        """
        if whence != io.SEEK_SET or position < self._hashed_bytes - len(self._last):
            raise DataError("a header points backwards; the archive is broken or made to harm")
        while self._hashed_bytes < position and self._read_and_hash(
            min(_CHUNK_BYTES, position - self._hashed_bytes)
        ):
            pass
        self._position = position
        return position

    def finish(self) -> tuple[int, str]:
        """Read the rest of the file and return (size in bytes, SHA-256 in hex) of the whole."""
        while self._read_and_hash(_CHUNK_BYTES):
            pass
        return self._hashed_bytes, self._hash.hexdigest()

    def _read_and_hash(self, size: int) -> bytes:
        data = self._stream.read(size) if size > 0 else b""
        if data:
            self._hash.update(data)
            self._hashed_bytes += len(data)
            self._last = data[-1:]
        return data


def tar_samples(reader: HashingReader) -> Iterator[TarSample]:
    """Yield the samples of an uncompressed archive, or of a range of whole members, in file order.

    Raises:
        DataError: the file is no tar archive, or it is cut short (raised after the samples before the cut).
    """
    current: TarSample | None = None
    try:
        # Columns and terminals accept only UTF-8: other names get replacement characters.
        with tarfile.open(fileobj=reader, mode="r:", errors="replace") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.isdir() or is_litter(member.name):
                    continue
                name, _, part = _split_name(member.name)
                if current is None or name != current.name:
                    if current is not None:
                        yield current
                    current = TarSample(name, member.offset, member.offset)
                _add_member(current, reader, member, part)
    except _BROKEN as error:  # tarfile does not catch all errors of its own parsing
        raise DataError(f"not a whole, uncompressed tar archive ({error})") from error
    if current is not None:
        yield current


def _split_name(path: str) -> tuple[str, str, str]:
    folder, slash, file = path.removeprefix("./").rpartition("/")
    name, dot, part = file.partition(".")
    return f"{folder}{slash}{name}", dot, part


def _add_member(sample: TarSample, reader: HashingReader, member: tarfile.TarInfo, part: str) -> None:
    sample.end = member.offset_data + -(-member.size // _BLOCK_BYTES) * _BLOCK_BYTES
    sample.problem = sample.problem or _refusal_reason(member)
    role, _, suffix = part.lower().rpartition(".")
    key = "json" if part == "json" else _ROLES.get(role) if suffix in ("jpg", "jpeg", "png") else None
    if sample.problem or key is None:
        return
    if key in sample.files:
        sample.problem = f"{member.name}: a second {key} under one name"
        return
    sample.files[key] = reader.read_member(member)


def _refusal_reason(member: tarfile.TarInfo) -> str | None:
    if member.name.startswith("/") or ".." in member.name.split("/") or "\0" in member.name:
        return f"{member.name!r}: a name that leaves the archive"
    if not member.isreg() or member.issparse():
        return f"{member.name}: a link, a device or a sparse file; expected a regular file"
    if not 0 <= member.size <= ROW_GROUP_BYTES:
        return f"{member.name}: {member.size:,} bytes, a row group holds {ROW_GROUP_BYTES:,}; shrink it"
    return None


def _is_encodable(value: str) -> bool:
    """Return whether the text can be encoded as UTF-8: JSON allows lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def sample_row(sample: TarSample, shard_path: str, defaults: Stratum) -> Row:
    """Build a row of `PAIR_SCHEMA` with the id `<archive without .tar>/<NAME>`.

    Args:
        shard_path: path of the archive beneath the data set's folder.
        defaults: values for what the sample's JSON does not give.

    Raises:
        DataError: the sample is refused, incomplete or broken (see `rows.pair_row`).
    """
    if sample.problem is not None:
        raise DataError(sample.problem)
    fields = _json_fields(sample.files.get("json"), defaults)
    return pair_row(
        f"{shard_path.removesuffix('.tar')}/{sample.name}",
        Stratum(defaults.domain, fields["subset"], fields["category"], tuple(fields["splits"])),
        {role: data for role, data in sample.files.items() if role != "json"},
        composite_style=fields["composite_style"],
        ground_truth_style=fields["ground_truth_style"],
    )


def _json_fields(text: bytes | None, defaults: Stratum) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "subset": defaults.subset,
        "category": defaults.category,
        "splits": list(defaults.splits),
        "composite_style": None,
        "ground_truth_style": None,
    }
    try:
        parsed = json.loads(text) if text is not None else {}
    except (ValueError, RecursionError) as error:
        raise DataError(f"json: {error}") from error
    if not isinstance(parsed, dict):
        raise DataError("json: expected an object")
    if parsed.get("domain", defaults.domain) != defaults.domain:
        raise DataError(f"json: domain is {parsed['domain']!r}, the data set's is {str(defaults.domain)!r}")
    fields.update({key: value for key, value in parsed.items() if key in _JSON_FIELDS})
    _check_types(fields)
    return fields


def _check_types(fields: dict[str, Any]) -> None:
    def is_text(value: Any) -> bool:
        return isinstance(value, str) and _is_encodable(value)

    def are_strings(value: Any) -> bool:
        return isinstance(value, list) and all(is_text(item) for item in value)

    def are_numbers(value: Any) -> bool:
        return isinstance(value, list) and all(type(item) in (int, float) for item in value)

    expected = {
        "subset": is_text(fields["subset"]),
        "category": fields["category"] is None or is_text(fields["category"]),
        "splits": are_strings(fields["splits"]),
        "composite_style": fields["composite_style"] is None or are_numbers(fields["composite_style"]),
        "ground_truth_style": fields["ground_truth_style"] is None
        or type(fields["ground_truth_style"]) is int,
    }
    for key, fits in expected.items():
        if not fits:
            raise DataError(f"json: {key} is {fields[key]!r}; see docs/data.md for what it may be")


def read_tar_rows(folder: Location, shard: Shard, group: RowGroup, defaults: Stratum | None) -> pa.Table:
    """Read the rows of one row group by fetching its byte range of the archive.

    Args:
        defaults: values for what a sample's JSON does not give; required.

    Raises:
        DataError: the archive has changed since the manifest was written, or the manifest is incomplete.
        StorageError: the archive is gone or the store does not answer.
    """
    location = folder / shard.path
    if group.offset is None or defaults is None:
        raise DataError(f"{location}: the manifest gives no byte range or defaults for it; write it again")
    data = location.read_range(group.offset, group.bytes)
    try:
        rows = [
            sample_row(sample, shard.path, defaults)
            for sample in tar_samples(HashingReader(io.BytesIO(data)))
        ]
    except DataError as error:
        raise DataError(
            f"{location}: bytes {group.offset} to {group.offset + group.bytes} changed since the manifest "
            f"was written ({error}); delete {MANIFEST_NAME} there and run "
            "`charmnet shard webdataset --in-place` again"
        ) from error
    return pa.Table.from_pylist(rows, PAIR_SCHEMA)
