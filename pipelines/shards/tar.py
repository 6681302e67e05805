"""Image shards in the WebDataset convention, whole or by byte range.

The convention is told in `webdataset.py`. Archives are not trusted: nothing is unpacked, names that leave
the archive, links and sparse files are refused, and headers and members have limits of size.
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
from pipelines.shards.manifest import MANIFEST_NAME, Stratum
from pipelines.shards.rows import Row, pair_row
from pipelines.shards.schema import PAIR_SCHEMA, ROW_GROUP_BYTES
from pipelines.shards.shard_table import RowGroup, Shard

_ROLES = {"composite": "composite", "ground_truth": "ground_truth", "mask": "foreground_mask"}
_JSON_FIELDS = {"domain", "subset", "category", "splits", "composite_style", "ground_truth_style"}
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = tarfile.BLOCKSIZE
_HEADER_BYTES = 1 << 16  # of long names and attributes; tarfile searches them in more than linear time
_BROKEN = (tarfile.TarError, EOFError, ValueError, LookupError, RecursionError, OverflowError)


@dataclass
class TarSample:
    """The members of one NAME.

    Attributes:
        offset: of the first member's header in the archive. end: behind the last member's padding.
        files: encoded pictures by role, and the JSON text under "json".
        problem: why it cannot be used, or None.
    """

    name: str
    offset: int
    end: int
    files: dict[str, bytes] = field(default_factory=dict)
    problem: str | None = None


class HashingReader:
    """What `tarfile` needs of a file, reading each byte once and hashing it: archives are taken in one pass.

    Raises:
        DataError: a header asks for more than `_HEADER_BYTES` at once or for a jump back.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._hashed_bytes = self._position = 0
        self._last = b""  # tarfile steps back one byte to see that a member is complete

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER_BYTES:
            raise DataError(f"a header asks for {size:,} bytes at once, the limit is {_HEADER_BYTES:,}")
        return self._read(size)

    def read_member(self, member: tarfile.TarInfo) -> bytes:
        """A member's content.

        Raises:
            DataError: the archive ends before.
        """
        self.seek(member.offset_data)
        data = self._read(member.size)
        if len(data) < member.size:
            raise DataError(f"not a whole tar archive: it ends in {member.name}")
        return data

    def _read(self, size: int) -> bytes:
        again = self._last if self._position < self._hashed_bytes else b""
        data = (again + self._take(size - len(again)))[:size] if size else b""
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or position < self._hashed_bytes - len(self._last):
            raise DataError("a header points backwards; the archive is broken or made to harm")
        while self._hashed_bytes < position and self._take(min(_CHUNK_BYTES, position - self._hashed_bytes)):
            pass
        self._position = position
        return position

    def finish(self) -> tuple[int, str]:
        """Reads what is left; (bytes, hex SHA-256) of the whole file."""
        while self._take(_CHUNK_BYTES):
            pass
        return self._hashed_bytes, self._hash.hexdigest()

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size) if size > 0 else b""
        if data:
            self._hash.update(data)
            self._hashed_bytes += len(data)
            self._last = data[-1:]
        return data


def tar_samples(reader: HashingReader) -> Iterator[TarSample]:
    """The samples of an uncompressed archive, or of a range of its whole members, in file order.

    Raises:
        DataError: it is no tar archive, or it ends in the middle (after the samples before).
    """
    current: TarSample | None = None
    try:
        # Names that are no UTF-8 are spelled with replacement characters: no column or terminal takes others.
        with tarfile.open(fileobj=reader, mode="r:", errors="replace") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.isdir() or _is_apple_double(member):
                    continue
                name, _, part = _split_name(member.name)
                if current is None or name != current.name:
                    if current is not None:
                        yield current
                    current = TarSample(name, member.offset, member.offset)
                _add_member(current, reader, member, part)
    except _BROKEN as error:  # tarfile lets through what its own parsing of numbers and lists raises
        raise DataError(f"not a whole, uncompressed tar archive ({error})") from error
    if current is not None:
        yield current


def _is_apple_double(member: tarfile.TarInfo) -> bool:
    """Whether it is the attributes that macOS's tar adds to each file, as `._NAME`."""
    return member.name.rpartition("/")[2].startswith("._")


def _split_name(path: str) -> tuple[str, str, str]:
    folder, slash, file = path.removeprefix("./").rpartition("/")
    name, dot, part = file.partition(".")
    return f"{folder}{slash}{name}", dot, part


def _add_member(sample: TarSample, reader: HashingReader, member: tarfile.TarInfo, part: str) -> None:
    sample.end = member.offset_data + -(-member.size // _BLOCK_BYTES) * _BLOCK_BYTES
    sample.problem = sample.problem or _refusal(member)
    role, _, suffix = part.lower().rpartition(".")
    key = "json" if part == "json" else _ROLES.get(role) if suffix in ("jpg", "jpeg", "png") else None
    if sample.problem or key is None:
        return
    if key in sample.files:
        sample.problem = f"{member.name}: a second {key} under one name"
        return
    sample.files[key] = reader.read_member(member)


def _refusal(member: tarfile.TarInfo) -> str | None:
    if member.name.startswith("/") or ".." in member.name.split("/") or "\0" in member.name:
        return f"{member.name!r}: a name that leaves the archive"
    if not member.isreg() or member.issparse():
        return f"{member.name}: a link, a device or a sparse file; expected a regular file"
    if not 0 <= member.size <= ROW_GROUP_BYTES:
        return f"{member.name}: {member.size:,} bytes, a row group holds {ROW_GROUP_BYTES:,}; shrink it"
    return None


def _is_text(value: str) -> bool:
    """Whether it can be encoded: JSON can spell half a character."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def sample_row(sample: TarSample, shard_path: str, defaults: Stratum) -> Row:
    """A row of `PAIR_SCHEMA`; its id is `<archive without .tar>/<NAME>`, unique if NAME is in its archive.

    Args:
        defaults: what holds where the sample's JSON does not say.

    Raises:
        DataError: the sample is refused, incomplete or broken (see `rows.pair_row`).
    """
    if sample.problem is not None:
        raise DataError(sample.problem)
    facts = _facts(sample.files.get("json"), defaults)
    stratum = Stratum(defaults.domain, facts["subset"], facts["category"], tuple(facts["splits"]))
    pictures = {role: data for role, data in sample.files.items() if role != "json"}
    identity = f"{shard_path.removesuffix('.tar')}/{sample.name}"
    return pair_row(identity, stratum, pictures, facts["composite_style"], facts["ground_truth_style"])


def _facts(text: bytes | None, defaults: Stratum) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "subset": defaults.subset,
        "category": defaults.category,
        "splits": list(defaults.splits),
        "composite_style": None,
        "ground_truth_style": None,
    }
    try:
        given = json.loads(text) if text is not None else {}
    except (ValueError, RecursionError) as error:
        raise DataError(f"json: {error}") from error
    if not isinstance(given, dict):
        raise DataError("json: expected an object")
    if given.get("domain", defaults.domain) != defaults.domain:
        raise DataError(f"json: domain is {given['domain']!r}, the data set's is {str(defaults.domain)!r}")
    facts.update({key: value for key, value in given.items() if key in _JSON_FIELDS})
    _check_types(facts)
    return facts


def _check_types(facts: dict[str, Any]) -> None:
    def text(value: Any) -> bool:
        return isinstance(value, str) and _is_text(value)

    def strings(value: Any) -> bool:
        return isinstance(value, list) and all(text(item) for item in value)

    def numbers(value: Any) -> bool:
        return isinstance(value, list) and all(type(item) in (int, float) for item in value)

    expected = {
        "subset": text(facts["subset"]),
        "category": facts["category"] is None or text(facts["category"]),
        "splits": strings(facts["splits"]),
        "composite_style": facts["composite_style"] is None or numbers(facts["composite_style"]),
        "ground_truth_style": facts["ground_truth_style"] is None or type(facts["ground_truth_style"]) is int,
    }
    for key, fits in expected.items():
        if not fits:
            raise DataError(f"json: {key} is {facts[key]!r}; see docs/data.md for what it may be")


def read_tar_rows(folder: Location, shard: Shard, group: RowGroup, defaults: Stratum | None) -> pa.Table:
    """The rows of one row group: one range of the archive is fetched.

    Raises:
        DataError: the range does not hold the samples that were there when the manifest was written.
        StorageError: the archive is gone or the store does not answer.
    """
    place = folder / shard.path
    if group.offset is None or defaults is None:
        raise DataError(f"{place}: the manifest gives no byte range and defaults for it; write it again")
    data = place.read_range(group.offset, group.bytes)
    try:
        rows = [
            sample_row(sample, shard.path, defaults)
            for sample in tar_samples(HashingReader(io.BytesIO(data)))
        ]
    except DataError as error:
        raise DataError(
            f"{place}: bytes {group.offset} to {group.offset + group.bytes} changed since the manifest was "
            f"written ({error}); delete {MANIFEST_NAME} there and run "
            "`charmnet shard webdataset --in-place` again"
        ) from error
    return pa.Table.from_pylist(rows, PAIR_SCHEMA)
