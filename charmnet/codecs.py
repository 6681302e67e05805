"""Encoded pictures and masks to arrays and back.

Decoding is OpenCV's: the released loaders read with it. OpenCV from 4.11 on refuses data that is cut short
and PNGs whose checksums fail (Pillow takes PNGs without their end); neither library notices bytes that
changed inside a JPEG. `charmnet.jpeg` and `charmnet.png_bits` give the same pixels faster and are asked
first; `charmnet.image_limits` refuses files that would exhaust memory or time.

Orientation: pixels are taken as they are stored and an EXIF orientation is ignored, so that a composite, its
mask and its ground truth stay aligned when only some of the files carry the tag. Only a user's own pictures
and masks are turned upright (`upright=True`).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.errors import DataError
from charmnet.image_limits import check_before_decoding, open_header
from charmnet.jpeg import decode_jpeg, is_jpeg
from charmnet.orientation import orientation
from charmnet.orientation import upright as turned_upright
from charmnet.png_bits import PNG_SIGNATURE, decode_bits
from charmnet.png_metadata import png_profile, without_metadata

MAX_JPEG_SIDE = 65_535
"""Most pixels a side of a JPEG, by its format."""

REDUCTIONS = (8, 4, 2)
"""Divisors of a JPEG's sides that `decode_rgb` takes."""

_GREY_TOLERANCE = 16  # between the channels of a grey mask: JPEG compression may part them so far
_PNG_DEPTH, _PNG_GREY = slice(24, 25), slice(25, 26)  # where the header says bits and kind of colour
_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_REDUCED = {
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,  # "greyscale" is overruled by the colour above
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def decode_rgb(data: bytes, upright: bool = False, reduction: int = 1) -> UInt8Array:
    """Decode a picture to [H,W,3] uint8 RGB; grey is repeated, 16 bits are cut to 8, transparency is dropped.

    Args:
        data: the encoded picture.
        upright: turn the picture as its EXIF orientation says (see the module's text).
        reduction: 1, or one of `REDUCTIONS`: a JPEG's sides are divided by it (and rounded up) while it is
            decoded, which makes fewer pixels of the same coefficients. Other formats are decoded in full.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    size = check_before_decoding(data)
    if not is_jpeg(data):
        reduction = 1
    height, width = (-(-side // reduction) for side in size)
    if not upright and (image := decode_jpeg(data, height, width)) is not None:
        return image
    flags = (cv2.IMREAD_COLOR_RGB if upright else _STORED) | _REDUCED.get(reduction, 0)
    image = _decode(data, flags, size).astype(np.uint8, copy=False)
    if not upright and image.shape[:2] != (height, width):
        raise DataError(
            f"the header says (height, width) {size}, decoded were {image.shape[:2]}: a broken file"
        )
    return image


def decode_mask(data: bytes) -> MaskArray:
    """Decode a data set's mask to [H,W]: 1 where the first channel is exactly 255 (as released), else 0.

    The other channels and transparency say nothing here; see `decode_user_mask` for masks of other origin.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    if not _is_grey_png(data):
        return _full(decode_rgb(data)[..., 0])
    size = check_before_decoding(data)
    mask = decode_bits(data, *size)
    return _full(_decode(data, cv2.IMREAD_GRAYSCALE, size)) if mask is None else mask


def decode_user_mask(data: bytes) -> tuple[MaskArray, str | None]:
    """Decode a user's mask: grey, where 128 of 255 and above is foreground.

    16 bits are scaled to 8, unless no value is above 255: then they are taken as they are, with a warning.

    Returns:
        [H,W] uint8 of 0 and 1, and a warning where the file holds values other than black and white.

    Raises:
        DataError: no picture, broken, cut short or too large; or in colour, with a transparency that varies,
            or without any value of 128 or above, so that what is meant to be foreground cannot be told.
    """
    size = check_before_decoding(data)
    _refuse_varying_alpha(_decode(data, cv2.IMREAD_UNCHANGED, size))
    pixels = _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH, size)
    warnings = []
    if pixels.dtype == np.uint16:
        scale = 257 if pixels.max() > 255 else 1
        if scale == 1 and pixels.any():
            warnings.append("a mask of 16 bits without a value above 255 is read as one of 8 bits")
        pixels = np.round(pixels / scale)
    pixels = pixels.astype(np.uint8, copy=False)
    _refuse_color(pixels)
    values = pixels[..., 0]
    if 0 < values.max() < 128:
        raise DataError(
            f"a mask whose highest value is {values.max()} of 255; expected white where the foreground is "
            "(128 and above counts): multiply the values of a mask of 0 and 1 by 255"
        )
    if values.min() >= 128:
        warnings.append("the whole picture is foreground")
    between = int(np.count_nonzero((values != 0) & (values != 255)))
    if between:
        warnings.append(
            f"{between:,} of {values.size:,} mask pixels are neither 0 nor 255; 128 and above is foreground"
        )
    return (values >= 128).astype(np.uint8), "; ".join(warnings) or None


@dataclass(frozen=True)
class MaskValues:
    """What a data set's mask holds beside black and white.

    Attributes:
        mask: [H,W], as `decode_mask` gives it.
        grey: pixels that are neither 0 nor 255.
        half: pixels of 128 and above.
        transparent: whether pixels are transparent, which is not looked at.
    """

    mask: MaskArray
    grey: int
    half: int
    transparent: bool


def read_mask(data: bytes) -> MaskValues:
    """Decode a data set's mask, and look at what `decode_mask` passes over.

    Raises:
        DataError: as for `decode_mask`, or the shape is in the transparency and the colour is the same
            everywhere.
    """
    if _is_grey_png(data):
        size = check_before_decoding(data)
        mask = decode_bits(data, *size)
        if mask is not None:
            return MaskValues(mask, 0, int(np.count_nonzero(mask)), transparent=False)
        values, transparent = _decode(data, cv2.IMREAD_GRAYSCALE, size), False
    else:
        values, transparent = decode_rgb(data)[..., 0], transparent_pixels(data) > 0
    if transparent and values.min() == values.max():
        raise DataError(
            "a mask of one colour whose transparency varies: its shape is in the transparency; save it as "
            "greyscale without transparency, white where the foreground is"
        )
    grey = int(np.count_nonzero((values != 0) & (values != 255)))
    return MaskValues(_full(values), grey, int(np.count_nonzero(values >= 128)), transparent)


def transparent_pixels(data: bytes) -> int:
    """Count a picture's pixels that are not fully opaque, whose transparency `decode_rgb` drops.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    alpha = alpha_channel(data)
    return 0 if alpha is None else int(np.count_nonzero(alpha != 255))


def alpha_channel(data: bytes) -> UInt8Array | None:
    """Decode a picture's transparency, upright: [H,W], 255 = opaque (only what was exactly opaque).

    Returns:
        The transparency; None where the format or the file has none.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    if is_jpeg(data):
        return None
    with open_header(data) as header:
        may_be = "A" in header.mode or "transparency" in header.info
    if not may_be:
        return None
    stored = _decode(data, cv2.IMREAD_UNCHANGED, check_before_decoding(data))
    if stored.ndim < 3 or stored.shape[2] not in (2, 4):
        return None
    alpha = stored[..., -1] if stored.dtype == np.uint8 else (stored[..., -1] // 257).astype(np.uint8)
    return turned_upright(alpha, orientation(data))


def color_profile(data: bytes) -> bytes | None:
    """Return a picture's ICC profile, to be handed on to the RGB picture made from it.

    Returns:
        The profile; None where there is none, or one of grey or CMYK, which would not fit RGB pixels.

    Raises:
        DataError: no picture.
    """
    with open_header(data) as header:
        profile = png_profile(data) if header.format == "PNG" else header.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else None


def encode_jpeg(image: UInt8Array, quality: int = 95, profile: bytes | None = None) -> bytes:
    """Encode a picture as JPEG.

    Args:
        image: [H,W,3] uint8 RGB or [H,W] grey.
        quality: 0 to 100, as OpenCV and Pillow count it.
        profile: an ICC profile to embed.

    Raises:
        DataError: a side has more than `MAX_JPEG_SIDE` pixels.
    """
    if max(image.shape[:2]) > MAX_JPEG_SIDE:
        raise DataError(
            f"(height, width) {image.shape[:2]} does not fit a JPEG, which holds {MAX_JPEG_SIDE:,} pixels a "
            "side; write a PNG"
        )
    if profile:
        return _encode_with_profile(image, "JPEG", profile, quality=quality)
    return _encode(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_mask(foreground_mask: MaskArray) -> bytes:
    """Encode a mask ([H,W], 1 = foreground) as a PNG of one bit a pixel, which is decoded fastest."""
    options = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    return _encode(foreground_mask * np.uint8(255), ".png", options)


def encode_png(image: UInt8Array, profile: bytes | None = None) -> bytes:
    """Encode a picture ([H,W,3] uint8 RGB, or [H,W] grey such as a mask of 0 and 255) as PNG, without loss.

    Args:
        image: the picture.
        profile: an ICC profile to embed.
    """
    if profile:
        return _encode_with_profile(image, "PNG", profile)
    return _encode(image, ".png", [])


def _is_grey_png(data: bytes) -> bool:
    """Return whether a file is a PNG of one channel of at most 8 bits."""
    return (
        data[:8] == PNG_SIGNATURE
        and data[_PNG_GREY] == b"\0"
        and data[_PNG_DEPTH] in (b"\1", b"\2", b"\4", b"\x08")
    )


def _full(values: NDArray[Any]) -> MaskArray:
    is_full: NDArray[np.bool_] = values == 255
    return is_full.view(np.uint8)


def _refuse_varying_alpha(stored: NDArray[Any]) -> None:
    alpha = stored[..., -1] if stored.ndim == 3 and stored.shape[2] in (2, 4) else None
    if alpha is not None and alpha.min() != alpha.max():
        raise DataError(
            "a mask whose transparency varies: it cannot be told whether grey or transparency means the "
            "foreground; save it as greyscale without transparency, white where the foreground is"
        )


def _refuse_color(pixels: UInt8Array) -> None:
    red, green, blue = cv2.split(pixels)  # NumPy is slow along an axis of three
    highest, lowest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    spread = highest - lowest
    colored = int(np.count_nonzero(spread > _GREY_TOLERANCE))
    if colored:
        raise DataError(
            f"a mask with {colored:,} coloured pixels of {spread.size:,}; expected greyscale, white where "
            "the foreground is"
        )


def _decode(data: bytes, flags: int, size: tuple[int, int]) -> NDArray[Any]:
    try:
        image = cv2.imdecode(np.frombuffer(without_metadata(data), np.uint8), flags)
    except cv2.error as error:
        raise DataError(f"a picture that OpenCV cannot decode ({error.err})") from error
    if image is None:
        raise DataError(f"a picture with (height, width) {size} cannot be decoded: cut short or broken")
    return image


def _encode(image: UInt8Array, suffix: str, options: list[int]) -> bytes:
    pixels = image[..., ::-1] if image.ndim == 3 else image
    try:
        done, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    except cv2.error as error:
        raise DataError(f"cannot be written as {suffix}: {error.err}") from error
    if not done:
        raise DataError(f"(height, width) {image.shape[:2]} cannot be written as {suffix}")
    return encoded.tobytes()


def _encode_with_profile(image: UInt8Array, image_format: str, profile: bytes, **options: int) -> bytes:
    stream = io.BytesIO()
    try:
        Image.fromarray(image).save(stream, image_format, icc_profile=profile, **options)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be written as {image_format}: {error}") from error
    return stream.getvalue()
