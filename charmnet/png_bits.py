"""PNGs of one bit a pixel, which masks are stored as: read in a quarter of the time that OpenCV takes.

What OpenCV checks is checked here, too, and whatever is out of the ordinary is left to it.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from charmnet.arrays import MaskArray

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

PNG_CHUNK_OVERHEAD = 12
"""Bytes of a chunk beside its content: length, kind and checksum."""

_HEADER_BYTES = 33
_ENCODING, _PLAIN_BITS = (
    slice(24, 29),
    b"\1\0\0\0\0",
)  # one bit, grey, deflated, filtered by row, not interlaced


def png_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that its header says, unchecked; None where it does not begin like a PNG."""
    if len(data) < _HEADER_BYTES or data[:8] != PNG_SIGNATURE or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def decode_bits(data: bytes, height: int, width: int) -> MaskArray | None:
    """[H,W] of 0 and 1 of a mask as `images.encode_mask` writes it; None where OpenCV has to look.

    Args:
        data: whose chunks are known to lie within it, up to the last one. height, width: as in its header.
    """
    if data[_ENCODING] != _PLAIN_BITS:
        return None
    packed, at, kind = [], len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        content, checksum = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            return None
        if kind == b"IDAT":
            packed.append(content)
        elif kind not in (b"IHDR", b"IEND"):
            return None
        at += PNG_CHUNK_OVERHEAD + length
    row_bytes = 1 + -(-width // 8)  # the first says how the row was filtered
    unpacked = _inflated(b"".join(packed), height * row_bytes)
    if unpacked is None:
        return None
    rows = np.frombuffer(unpacked, np.uint8).reshape(height, row_bytes)
    return None if rows[:, 0].any() else np.unpackbits(rows[:, 1:], axis=1, count=width)


def _inflated(packed: bytes, size: int) -> bytes | None:
    """What was deflated, if it is whole and of this size."""
    inflate = zlib.decompressobj()
    try:
        unpacked = inflate.decompress(packed, size + 1)
    except zlib.error:
        return None
    return unpacked if inflate.eof and len(unpacked) == size else None
