"""JPEGs by simplejpeg, which gives the pixels of OpenCV in half of its time (both are libjpeg-turbo).

Where simplejpeg is not installed or complains of a file, the functions return None and OpenCV decides.
"""

from __future__ import annotations

import re

from charmnet.arrays import UInt8Array

try:
    import simplejpeg
except ImportError:  # a platform that it is not built for
    simplejpeg = None

_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within a scan, FF 00 and FF D0 to D7 are data
_ALONE = b"\xd8\x01"  # markers without a length: start of the picture, and one that nothing writes
_END, _COMMENT, _APPLICATION = 0xD9, 0xFE, range(0xE0, 0xF0)
_DECODERS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""How those segments of applications begin that say what the pixels mean."""


def is_jpeg(data: bytes) -> bool:
    """Return whether the bytes begin like a JPEG."""
    return data[:3] == _START


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) from the header, or None where another library has to look.

    Pillow takes a tenth of a millisecond for the same.
    """
    if simplejpeg is None or not is_jpeg(data):
        return None
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return height, width


def decode_jpeg(data: bytes, height: int, width: int) -> UInt8Array | None:
    """Decode a JPEG at a size that libjpeg-turbo can scale to.

    Args:
        data: the encoded picture.
        height: pixels of the result.
        width: pixels of the result.

    Returns:
        [H,W,3] RGB, or None where OpenCV has to decide.
    """
    if simplejpeg is None or not is_jpeg(data):
        return None
    try:
        image = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
    except ValueError:
        return None
    return image if image.shape[:2] == (height, width) else None


def without_metadata(data: bytes) -> bytes | None:
    """Return a JPEG of the same pixels without what tells of its origin: EXIF, XMP, IPTC, comments, previews.

    Its colour profile stays. What follows the picture's end, such as a phone's second picture, does not.

    Returns:
        The file, or None where its segments do not lead to the picture's end.
    """
    kept: list[bytes] = []
    offset = 0
    while marker := _MARKER.search(data, offset):
        start, kind = marker.start(), data[marker.end() - 1]
        kept.append(data[offset:start])  # of a scan
        if kind == _END:
            return b"".join([*kept, marker.group()])
        length = 0 if kind in _ALONE else int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        offset = marker.end() + length
        if not _is_metadata(kind, data[marker.end() + 2 : offset]):
            kept.append(data[start:offset])
    return None


def _is_metadata(kind: int, content: bytes) -> bool:
    if kind in _APPLICATION:
        return not (kind in _DECODERS and content.startswith(_DECODERS[kind]))
    return kind == _COMMENT
