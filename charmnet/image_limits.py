"""Refusal of encoded pictures that would cost far more memory or time than their bytes are worth.

Every check is made before a pixel is decoded: of a picture's size, its pixels for each byte, the scans of a
progressive JPEG, and whether a PNG's chunks lie within its bytes.
"""

from __future__ import annotations

import io
import warnings

from PIL import Image

from charmnet.errors import DataError
from charmnet.jpeg import jpeg_size
from charmnet.png_bits import PNG_CHUNK_OVERHEAD, PNG_SIGNATURE, png_size
from charmnet.png_metadata import without_metadata

MAX_PIXELS = 178_956_970
"""Most pixels of a picture: Pillow's own limit against decompression bombs."""

TOO_MANY_PIXELS = f"a picture of more than {MAX_PIXELS:,} pixels, the limit; shrink it"
"""Message about such a picture."""

MAX_JPEG_SCANS = 100
"""Most scans of a JPEG. Progressive files have about ten; each costs a pass over all pixels."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# Pictures up to this size pass whatever their bytes: a decoder's memory for them does not matter.
_BOMB_PIXELS = 1 << 24
# Beyond it, no more pixels a byte than a picture of one colour compresses to.
_PIXELS_PER_BYTE = {"JPEG": 1_000, **dict.fromkeys(("PNG", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"), 10_000)}
_JPEG_SCAN = b"\xff\xda"
_OTHERS = {
    b"GIF8": "a GIF",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\xff\x0a": "a JPEG XL",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF",
    b"<svg": "an SVG",
    b"version https://git-lfs": "the pointer of a file that Git LFS keeps (get it by git lfs pull)",
}
_ONE_PASS_FRAMES = (0xC0, 0xC1)  # baseline and extended sequential


def image_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) in pixels as stored, from the header alone.

    Raises:
        DataError: the data is no JPEG, PNG, WebP or BMP, its header is broken, or it has more than
            `MAX_PIXELS` pixels.
    """
    with open_header(data) as header:
        width, height = header.size
    return height, width


def check_before_decoding(data: bytes) -> tuple[int, int]:
    """Return (height, width) as `image_size` does, of a file that is safe to decode.

    Raises:
        DataError: as for `image_size`, or decoding would cost far more than the bytes are worth.
    """
    image_format, height, width = _jpeg_header(data) or _png_header(data) or _header(data)
    refuse_bomb(image_format, height * width, len(data))
    if image_format == "JPEG" and not _has_one_scan(data) and data.count(_JPEG_SCAN) > MAX_JPEG_SCANS:
        raise DataError(f"a JPEG of more than {MAX_JPEG_SCANS} scans; save it again")
    if image_format == "PNG":
        _check_chunks(data)
    return height, width


def refuse_bomb(image_format: str, pixels: int, size: int) -> None:
    """Refuse a picture of far more pixels than a file of `size` bytes holds.

    Raises:
        DataError: it is one.
    """
    if pixels > max(_BOMB_PIXELS, _PIXELS_PER_BYTE[image_format] * size):
        raise DataError(f"{pixels:,} pixels in {size:,} bytes: a broken header or a decompression bomb")


def open_header(data: bytes) -> Image.Image:
    """Open a picture with Pillow: its header is read, its pixels are not decoded yet.

    A PNG's texts and profile are left out where they are large (see `charmnet.png_metadata`).

    Raises:
        DataError: as for `image_size`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its limit on; the limit itself is what counts here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(without_metadata(data)), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise DataError(TOO_MANY_PIXELS) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{_what_it_is(data)}; expected {', '.join(_FORMATS)}") from error


def _what_it_is(data: bytes) -> str:
    """Say what a file holds that is no picture of the usual formats."""
    start = data.lstrip()[:16].lower()
    known = next((name for prefix, name in _OTHERS.items() if data.startswith(prefix)), None)
    if known is None and start.startswith((b"<!doctype html", b"<html")):
        known = "a web page"
    if known is None and data and not data.strip(b"\0"):
        known = "nothing but zeros, as an interrupted copy leaves them"
    kind = "no picture" if known is None else f"{known}, no picture that is read here"
    return f"{len(data):,} bytes that are {kind}"


def _header(data: bytes) -> tuple[str, int, int]:
    """Return (format, height, width)."""
    with open_header(data) as header:
        return str(header.format), header.height, header.width


def _jpeg_header(data: bytes) -> tuple[str, int, int] | None:
    """Return `_header` of a JPEG without Pillow, or None where Pillow has to look."""
    size = jpeg_size(data)
    return ("JPEG", *size) if size and size[0] * size[1] <= MAX_PIXELS else None


def _png_header(data: bytes) -> tuple[str, int, int] | None:
    """Return `_header` of a PNG without Pillow, or None where Pillow has to look."""
    height, width = png_size(data) or (0, 0)
    return ("PNG", height, width) if 0 < height * width <= MAX_PIXELS else None


def _has_one_scan(data: bytes) -> bool:
    """Return whether a JPEG's frame is not progressive and its first scan holds all components.

    Such a file libjpeg decodes in one pass, refusing more scans; to count them takes a pass over all bytes.
    """
    offset, components = 2, 0
    while data[offset : offset + 1] == b"\xff" and offset + 10 <= len(data):
        kind, length = data[offset + 1], int.from_bytes(data[offset + 2 : offset + 4], "big")
        if kind in _ONE_PASS_FRAMES:
            components = data[offset + 9]
        if kind == _JPEG_SCAN[1]:
            return data[offset + 4] == components
        offset += 2 + length
    return False


def _check_chunks(data: bytes) -> None:
    """Refuse a PNG with a chunk that its bytes do not hold: OpenCV allocates memory for it before reading."""
    offset, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if offset + PNG_CHUNK_OVERHEAD > len(data):
            raise DataError("a PNG that is cut short or broken")
        length, kind = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
        offset += PNG_CHUNK_OVERHEAD + length
    if offset > len(data):
        raise DataError("a PNG that is cut short or broken")
