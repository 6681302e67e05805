"""Formats of users' pictures: what data sets hold, and TIFF, AVIF and HEIC, with transparency and profile.

JPEG, PNG, WebP and BMP are decoded by `charmnet.codecs`. The others become a PNG in memory first, without
loss, so that one path decides about orientation, depth and profiles. Data sets take none of them.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, features

from charmnet.arrays import UInt8Array
from charmnet.codecs import alpha_channel, color_profile, decode_rgb, encode_jpeg, encode_png
from charmnet.errors import DataError
from charmnet.image_limits import TOO_MANY_PIXELS, check_before_decoding, refuse_bomb

_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {}),
    ".jpeg": ("JPEG", {}),
    ".webp": ("WEBP", {"lossless": True, "exact": True, "method": 2}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".avif": ("AVIF", {"quality": 90, "subsampling": "4:4:4"}),
    ".heic": ("HEIF", {"quality": 90, "chroma": 444}),
    ".heif": ("HEIF", {"quality": 90, "chroma": 444}),
}
SUFFIXES = tuple(_FORMATS)
"""File name suffixes of pictures; PNG, WebP and TIFF are written without loss."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AVIF = {b"avif", b"avis"}
_HEVC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
_ANY_CODEC = {b"mif1", b"msf1"}  # of files whose codec their other brands name
_PNG_MODES = {
    **{mode: mode for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **{"I;16B": "I;16", "PA": "RGBA", "CMYK": "RGB", "RGBX": "RGB", "YCbCr": "RGB"},
}
"""Pillow's modes of pictures that are read, and those that a PNG holds them in."""

# What Pillow and its plugins raise where a file is broken.
_BROKEN = (OSError, ValueError, SyntaxError, RuntimeError, LookupError, TypeError, EOFError, struct.error)


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright.

    Attributes:
        pixels: [H,W,3] uint8 RGB, whatever the transparency.
        alpha: [H,W] uint8, 255 = opaque; None where every pixel is.
        profile: ICC profile of RGB colours, if there is one.
    """

    pixels: UInt8Array
    alpha: UInt8Array | None = None
    profile: bytes | None = None


def decode_picture(data: bytes) -> Picture:
    """Decode a user's picture.

    Raises:
        DataError: no picture, broken, cut short, too large, or of a format that is not installed.
    """
    data = as_codec_format(data)
    pixels, alpha = decode_rgb(data, upright=True), alpha_channel(data)
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return Picture(pixels, alpha, color_profile(data))


def encode_picture(picture: Picture, suffix: str) -> bytes:
    """Encode a picture in the format of a file name suffix; a JPEG drops the transparency.

    Raises:
        DataError: the picture does not fit the format, or the format is not installed.
        ValueError: the suffix is none of `SUFFIXES`.
    """
    image_format, options = _format_of(suffix)
    if image_format == "JPEG":
        return encode_jpeg(picture.pixels, profile=picture.profile)
    if image_format == "PNG" and picture.alpha is None:
        return encode_png(picture.pixels, picture.profile)
    _require_codec(image_format)
    pixels = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    profile = {"icc_profile": picture.profile} if picture.profile else {}
    stream = io.BytesIO()
    try:
        Image.fromarray(pixels).save(stream, image_format, **options, **profile)
    except _BROKEN as error:
        height, width = picture.pixels.shape[:2]
        raise DataError(f"{width}x{height} pixels cannot be written as {image_format}: {error}") from error
    return stream.getvalue()


def keeps_transparency(suffix: str) -> bool:
    """Return whether the format of a suffix holds transparency."""
    return _format_of(suffix)[0] != "JPEG"


def as_codec_format(data: bytes) -> bytes:
    """Return a TIFF, AVIF or HEIC (its first picture) as a PNG, and other data as it is.

    Raises:
        DataError: broken, cut short, too large, of numbers that are no colours, or not installed.
    """
    image_format = _foreign_format(data)
    if image_format is None:
        return data
    stream = io.BytesIO()
    with _opened(data, image_format) as image:
        mode = _png_mode(image.mode)
        profile, exif = image.info.get("icc_profile"), image.getexif()
        kept = image if image.mode == mode else image.convert(mode)
        kept.save(stream, "PNG", compress_level=1, icc_profile=profile, exif=_orientation(exif))
    return stream.getvalue()


def picture_size(data: bytes) -> tuple[int, int]:
    """Return (height, width) as stored of a user's picture that is safe to decode; none of it is decoded.

    Raises:
        DataError: no picture, a broken header, too large, far more pixels than its bytes can hold, or of a
            format that is not installed.
    """
    image_format = _foreign_format(data)
    if image_format is None:
        return check_before_decoding(data)
    with _opened(data, image_format) as image:
        return image.height, image.width


@contextmanager
def _opened(data: bytes, image_format: str) -> Iterator[Image.Image]:
    """Open a picture with Pillow, of no more pixels than its bytes can hold; name what fails inside."""
    _require_codec(image_format)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of half of the limit of pixels
            with Image.open(io.BytesIO(data), formats=[image_format]) as image:
                refuse_bomb(image_format, image.width * image.height, len(data))
                yield image
    except Image.DecompressionBombError:
        raise DataError(TOO_MANY_PIXELS) from None
    except _BROKEN as error:
        raise DataError(f"a {image_format} that cannot be decoded: {error}") from error


def _png_mode(mode: str) -> str:
    if mode not in _PNG_MODES:
        raise DataError(f"a picture of mode {mode}; expected RGB or grey of 8 or 16 bits")
    return _PNG_MODES[mode]


def _orientation(exif: Image.Exif) -> Image.Exif:
    """Return nothing but the orientation: the rest says nothing here, and may not fit a PNG."""
    kept = Image.Exif()
    if isinstance(value := exif.get(ExifTags.Base.Orientation), int):
        kept[ExifTags.Base.Orientation] = value
    return kept


def _foreign_format(data: bytes) -> str | None:
    if data[:4] in _TIFF:
        return "TIFF"
    if data[4:8] != b"ftyp":
        return None
    brand = data[8:12]
    brands = {brand, *(data[start : start + 4] for start in range(16, 64, 4))}
    if brands & _AVIF and brand not in _HEVC:
        return "AVIF"
    return "HEIF" if brands & (_HEVC | _ANY_CODEC) else None


def _format_of(suffix: str) -> tuple[str, dict[str, Any]]:
    try:
        return _FORMATS[suffix.lower()]
    except KeyError:
        raise ValueError(f"{suffix or 'no suffix'}: expected one of {', '.join(SUFFIXES)}") from None


def _require_codec(image_format: str) -> None:
    if image_format == "HEIF":
        try:
            from pillow_heif import register_heif_opener  # noqa: PLC0415 - an extra
        except ImportError:
            raise DataError("HEIC needs the package pillow-heif: pip install 'charmnet[heic]'") from None
        register_heif_opener()
    elif image_format == "AVIF" and not features.check("avif"):
        raise DataError("AVIF needs a Pillow that has it: pip install --upgrade 'pillow>=11.3'")
