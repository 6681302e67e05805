"""Encoded pictures and masks to arrays and back.

Decoding is OpenCV's: the released loaders read with it, and a JPEG of 640x480 takes 1.4 ms, a third of
Pillow's time. OpenCV from 4.11 on refuses data that is cut short and PNGs whose checksums fail (Pillow takes
PNGs without their end); neither library notices bytes that changed inside a JPEG.

Orientation: pixels are taken as they are stored and an EXIF orientation is ignored, so that a composite, its
mask and its ground truth stay aligned when only some of the files carry the tag. Only a user's own pictures
and masks are turned upright (`upright=True`).
"""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from charmnet.errors import DataError

UInt8Array = npt.NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""Pictures above this (Pillow's own limit against decompression bombs) are refused before decoding."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def image_size(data: bytes) -> tuple[int, int]:
    """(height, width) in pixels as stored, from the header alone.

    Raises:
        DataError: not a JPEG, PNG, WebP or BMP, a broken header, or more than `MAX_PIXELS`.
    """
    with _header(data) as header:
        width, height = header.size
    return height, width


def decode_rgb(data: bytes, upright: bool = False) -> UInt8Array:
    """[H,W,3] uint8 RGB; grey is repeated, 16 bits are cut to 8 and transparency is dropped.

    Args:
        upright: turn the picture as its EXIF orientation says (see the module's text).

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    size = image_size(data)
    image = _decode(data, cv2.IMREAD_COLOR_RGB if upright else _STORED, size)
    if not upright and image.shape[:2] != size:
        raise DataError(
            f"the header says (height, width) {size}, decoded were {image.shape[:2]}: a broken file"
        )
    return image


def decode_mask(data: bytes) -> UInt8Array:
    """[H,W] uint8 foreground mask: 1 where the first channel is exactly 255 (as released), else 0.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    return (decode_rgb(data)[..., 0] == 255).astype(np.uint8)


def decode_user_mask(data: bytes) -> tuple[UInt8Array, str | None]:
    """A user's mask, where 128 and above is foreground.

    Returns:
        [H,W] uint8 of 0 and 1, and a warning where the file holds values other than 0 and 255.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    values = decode_rgb(data, upright=True)[..., 0]
    between = int(np.count_nonzero((values != 0) & (values != 255)))
    warning = None
    if between:
        warning = (
            f"{between:,} of {values.size:,} mask pixels are neither 0 nor 255; 128 and above is foreground"
        )
    return (values >= 128).astype(np.uint8), warning


def color_profile(data: bytes) -> bytes | None:
    """The ICC profile that an encoded picture carries, to be handed on to what is made from it.

    Raises:
        DataError: no picture.
    """
    with _header(data) as header:
        return header.info.get("icc_profile")


def encode_jpeg(image: UInt8Array, quality: int = 95, profile: bytes | None = None) -> bytes:
    """[H,W,3] uint8 RGB or [H,W] grey to JPEG."""
    if profile:
        return _encode_with_profile(image, "JPEG", profile, quality=quality)
    return _encode(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: UInt8Array, profile: bytes | None = None) -> bytes:
    """[H,W,3] uint8 RGB or [H,W] grey (a mask: 0 and 255) to PNG, without loss."""
    if profile:
        return _encode_with_profile(image, "PNG", profile)
    return _encode(image, ".png", [])


def _header(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise DataError(f"a picture of more than {MAX_PIXELS:,} pixels, the limit; shrink it") from None
    except (OSError, ValueError, SyntaxError) as error:
        got = f"{len(data):,} bytes that are no picture ({type(error).__name__})"
        raise DataError(f"{got}; expected {', '.join(_FORMATS)}") from error


def _decode(data: bytes, flags: int, size: tuple[int, int]) -> UInt8Array:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f"a picture that OpenCV cannot decode ({error.err})") from error
    if image is None:
        raise DataError(f"a picture with (height, width) {size} cannot be decoded: cut short or broken")
    return image.astype(np.uint8, copy=False)


def _encode(image: UInt8Array, suffix: str, options: list[int]) -> bytes:
    pixels = image[..., ::-1] if image.ndim == 3 else image
    _, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    return encoded.tobytes()


def _encode_with_profile(image: UInt8Array, image_format: str, profile: bytes, **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, image_format, icc_profile=profile, **options)
    return stream.getvalue()
