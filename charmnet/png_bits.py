"""Decoding of PNGs of one bit a pixel, the form of stored masks, in a quarter of OpenCV's time.

OpenCV's checks are made here, too, and every other kind of PNG is left to OpenCV.
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
_ENCODING = slice(24, 29)  # of the header: depth, colour, compression, filter, interlacing
_PLAIN_BITS = b"\1\0\0\0\0"  # one bit, grey, deflated, filtered by row, not interlaced


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) from the header, unchecked, or None where the data is no PNG."""
    if len(data) < _HEADER_BYTES or data[:8] != PNG_SIGNATURE or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def decode_bits(data: bytes, height: int, width: int) -> MaskArray | None:
    """Decode a mask that `codecs.encode_mask` wrote.

    Args:
        data: the encoded mask; its chunks are known to lie within it, up to the last one.
        height: rows, as in its header.
        width: columns, as in its header.

    Returns:
        [H,W] uint8 of 0 and 1, or None where OpenCV has to decode it.
    """
    if data[_ENCODING] != _PLAIN_BITS:
        return None
    packed = []
    offset, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
        end = offset + 8 + length
        content, checksum = data[offset + 8 : end], data[end : end + 4]
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            return None
        if kind == b"IDAT":
            packed.append(content)
        elif kind not in (b"IHDR", b"IEND"):
            return None
        offset += PNG_CHUNK_OVERHEAD + length
    row_bytes = 1 + -(-width // 8)  # the first says how the row was filtered
    unpacked = _inflated(b"".join(packed), height * row_bytes)
    if unpacked is None:
        return None
    rows = np.frombuffer(unpacked, np.uint8).reshape(height, row_bytes)
    return None if rows[:, 0].any() else np.unpackbits(rows[:, 1:], axis=1, count=width)


def _inflated(packed: bytes, size: int) -> bytes | None:
    """Inflate a zlib stream; None unless it is whole and of this size."""
    inflate = zlib.decompressobj()
    try:
        unpacked = inflate.decompress(packed, size + 1)
    except zlib.error:
        return None
    return unpacked if inflate.eof and len(unpacked) == size else None
