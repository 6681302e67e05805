"""Texts and colour profiles of PNGs, whose size says nothing about the picture.

Pillow refuses a file with a profile or text of more than a megabyte as no picture, and OpenCV one with a
chunk of more than eight. Such chunks are taken out before either of them reads the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from charmnet.png_bits import PNG_CHUNK_OVERHEAD, PNG_SIGNATURE

MAX_PROFILE_BYTES = 64 << 20
"""Most bytes of a colour profile; the largest of printers take some megabytes."""

_PROFILE = b"iCCP"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_HARMLESS_BYTES = 512  # a compressed text of fewer bytes is within Pillow's limit


def without_metadata(data: bytes) -> bytes:
    """Return a PNG without its texts and profile, where these are not small; other data as it is."""
    if data[:8] != PNG_SIGNATURE:
        return data
    metadata = [(start, end) for kind, start, end in _chunks(data) if kind == _PROFILE or kind in _TEXTS]
    if sum(end - start for start, end in metadata) <= _HARMLESS_BYTES:
        return data
    kept, position = [], 0
    for start, end in metadata:
        kept.append(data[position:start])
        position = end
    return b"".join([*kept, data[position:]])


def png_profile(data: bytes) -> bytes | None:
    """Return the colour profile of a PNG; None where there is none, or one that is broken or too large."""
    for kind, start, end in _chunks(data):
        if kind == _PROFILE:
            _, _, packed = data[start + 8 : end - 4].partition(b"\0")
            inflate = zlib.decompressobj()
            try:
                profile = inflate.decompress(packed[1:], MAX_PROFILE_BYTES)
            except zlib.error:
                return None
            return profile if inflate.eof else None
        if kind == b"IDAT":  # a profile stands before the pixels
            return None
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of the chunks that lie within a PNG's bytes."""
    start, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND" and start + PNG_CHUNK_OVERHEAD <= len(data):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        end = start + PNG_CHUNK_OVERHEAD + length
        if end > len(data):
            return
        yield kind, start, end
        start = end
