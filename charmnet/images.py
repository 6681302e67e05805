"""Encoded pictures and masks to arrays and back.

Decoding is OpenCV's: the released loaders read with it. OpenCV from 4.11 on refuses data that is cut short
and PNGs whose checksums fail (Pillow takes PNGs without their end); neither library notices bytes that
changed inside a JPEG. simplejpeg gives the same pixels of a JPEG in half of OpenCV's time (both are
libjpeg-turbo) and is asked first; what it complains of, OpenCV decides.

Orientation: pixels are taken as they are stored and an EXIF orientation is ignored, so that a composite, its
mask and its ground truth stay aligned when only some of the files carry the tag. Only a user's own pictures
and masks are turned upright (`upright=True`).
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.errors import DataError
from charmnet.png_bits import PNG_CHUNK_OVERHEAD, PNG_SIGNATURE, decode_bits, png_size

try:
    import simplejpeg
except ImportError:  # a platform that it is not built for
    simplejpeg = None


MAX_PIXELS = 178_956_970
"""Pictures above this (Pillow's own limit against decompression bombs) are refused before decoding."""

MAX_JPEG_SCANS = 100
"""Progressive files have about ten; each costs a pass over all pixels, however few bytes it has."""

MAX_JPEG_SIDE = 65_535
"""Pixels: the format holds no more."""

_GREY_TOLERANCE = 16  # between the channels of a grey mask: what a JPEG's compression may make of it
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# What a picture of one colour can shrink to, from a size on that a decoder's memory shows.
_BOMB_PIXELS = 1 << 24
_PIXELS_PER_BYTE = {"JPEG": 1_000, "PNG": 10_000, "WEBP": 10_000, "BMP": 10_000}
_PNG_DEPTH, _PNG_GREY = slice(24, 25), slice(25, 26)  # where the header says bits and kind of colour
_JPEG_START, _JPEG_SCAN = b"\xff\xd8\xff", b"\xff\xda"
_ONE_PASS_FRAMES = (0xC0, 0xC1)  # baseline and extended sequential
_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_REDUCED = {
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,  # "greyscale" is overruled by the colour above
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
REDUCTIONS = (8, 4, 2)
"""What `decode_rgb` can divide a JPEG's sides by."""


def image_size(data: bytes) -> tuple[int, int]:
    """(height, width) in pixels as stored, from the header alone.

    Raises:
        DataError: not a JPEG, PNG, WebP or BMP, a broken header, or more than `MAX_PIXELS`.
    """
    with open_header(data) as header:
        width, height = header.size
    return height, width


def decode_rgb(data: bytes, upright: bool = False, reduction: int = 1) -> UInt8Array:
    """[H,W,3] uint8 RGB; grey is repeated, 16 bits are cut to 8 and transparency is dropped.

    Args:
        upright: turn the picture as its EXIF orientation says (see the module's text).
        reduction: 1, or one of `REDUCTIONS`: a JPEG's sides are divided by it (and rounded up) while it is
            decoded, which makes fewer pixels of the same coefficients. Other formats are decoded in full.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    size = _size_to_decode(data)
    if not is_jpeg(data):
        reduction = 1
    height, width = (-(-side // reduction) for side in size)
    if not upright and (image := _decode_jpeg(data, height, width)) is not None:
        return image
    flags = (cv2.IMREAD_COLOR_RGB if upright else _STORED) | _REDUCED.get(reduction, 0)
    image = _decode(data, flags, size).astype(np.uint8, copy=False)
    if not upright and image.shape[:2] != (height, width):
        raise DataError(
            f"the header says (height, width) {size}, decoded were {image.shape[:2]}: a broken file"
        )
    return image


def decode_mask(data: bytes) -> MaskArray:
    """[H,W] uint8 foreground mask: 1 where the first channel is exactly 255 (as released), else 0.

    The other channels and transparency say nothing here; see `decode_user_mask` for masks of other origin.

    Raises:
        DataError: no picture, broken, cut short or too large.
    """
    if not _is_grey_png(data):
        return _full(decode_rgb(data)[..., 0])
    size = _size_to_decode(data)
    mask = decode_bits(data, *size)
    return _full(_decode(data, cv2.IMREAD_GRAYSCALE, size)) if mask is None else mask


def decode_user_mask(data: bytes) -> tuple[MaskArray, str | None]:
    """A user's mask: grey, where 128 of 255 and above is foreground.

    16 bits are scaled to 8, unless no value is above 255: then they are taken as they are, with a warning.

    Returns:
        [H,W] uint8 of 0 and 1, and a warning where the file holds values other than black and white.

    Raises:
        DataError: no picture, broken, cut short or too large; or in colour, or with a transparency that
            varies, so that what is meant to be foreground cannot be told.
    """
    size = _size_to_decode(data)
    _refuse_varying_alpha(_decode(data, cv2.IMREAD_UNCHANGED, size))
    pixels = _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH, size)
    warnings_found = []
    if pixels.dtype == np.uint16:
        scale = 257 if pixels.max() > 255 else 1
        if scale == 1 and pixels.any():
            warnings_found.append("a mask of 16 bits without a value above 255 is read as one of 8 bits")
        pixels = np.round(pixels / scale)
    pixels = pixels.astype(np.uint8, copy=False)
    _refuse_color(pixels)
    values = pixels[..., 0]
    between = int(np.count_nonzero((values != 0) & (values != 255)))
    if between:
        warnings_found.append(
            f"{between:,} of {values.size:,} mask pixels are neither 0 nor 255; 128 and above is foreground"
        )
    return (values >= 128).astype(np.uint8), "; ".join(warnings_found) or None


def color_profile(data: bytes) -> bytes | None:
    """The ICC profile that an encoded picture carries, to be handed on to the RGB picture made from it.

    None where there is none, or one of grey or CMYK, which would not fit RGB pixels.

    Raises:
        DataError: no picture.
    """
    with open_header(data) as header:
        profile = header.info.get("icc_profile")
    return profile if profile and profile[16:20] == b"RGB " else None


def encode_jpeg(image: UInt8Array, quality: int = 95, profile: bytes | None = None) -> bytes:
    """[H,W,3] uint8 RGB or [H,W] grey to JPEG; DataError for more than `MAX_JPEG_SIDE` pixels a side."""
    if max(image.shape[:2]) > MAX_JPEG_SIDE:
        raise DataError(
            f"(height, width) {image.shape[:2]} does not fit a JPEG, which holds {MAX_JPEG_SIDE:,} pixels a "
            "side; write a PNG"
        )
    if profile:
        return _encode_with_profile(image, "JPEG", profile, quality=quality)
    return _encode(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_mask(foreground_mask: MaskArray) -> bytes:
    """[H,W] uint8 mask, 1 = foreground, to a PNG of one bit a pixel, which is decoded fastest."""
    options = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    return _encode(foreground_mask * np.uint8(255), ".png", options)


def encode_png(image: UInt8Array, profile: bytes | None = None) -> bytes:
    """[H,W,3] uint8 RGB or [H,W] grey (a mask: 0 and 255) to PNG, without loss."""
    if profile:
        return _encode_with_profile(image, "PNG", profile)
    return _encode(image, ".png", [])


def open_header(data: bytes) -> Image.Image:
    """The picture with its header read and its pixels not decoded yet.

    Raises:
        DataError: as `image_size`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its limit on; the limit itself is what counts here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise DataError(f"a picture of more than {MAX_PIXELS:,} pixels, the limit; shrink it") from None
    except (OSError, ValueError, SyntaxError) as error:
        got = f"{len(data):,} bytes that are no picture ({type(error).__name__})"
        raise DataError(f"{got}; expected {', '.join(_FORMATS)}") from error


def is_jpeg(data: bytes) -> bool:
    """Whether it begins like one."""
    return data[:3] == _JPEG_START


def _is_grey_png(data: bytes) -> bool:
    """Whether one channel of at most 8 bits is all that it has."""
    return (
        data[:8] == PNG_SIGNATURE
        and data[_PNG_GREY] == b"\0"
        and data[_PNG_DEPTH] in (b"\1", b"\2", b"\4", b"\x08")
    )


def _full(values: npt.NDArray) -> UInt8Array:
    return (values == 255).view(np.uint8)


def _decode_jpeg(data: bytes, height: int, width: int) -> UInt8Array | None:
    """The pixels at a size that libjpeg-turbo can scale to; None where OpenCV has to decide."""
    if simplejpeg is None or not is_jpeg(data):
        return None
    try:
        image = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
    except ValueError:
        return None
    return image if image.shape[:2] == (height, width) else None


def _size_to_decode(data: bytes) -> tuple[int, int]:
    """`image_size` of a whole file; DataError where decoding costs far more than its bytes are worth."""
    image_format, height, width = _jpeg_header(data) or _png_header(data) or _header(data)
    pixels = height * width
    if pixels > max(_BOMB_PIXELS, _PIXELS_PER_BYTE[image_format] * len(data)):
        raise DataError(f"{pixels:,} pixels in {len(data):,} bytes: a broken header, or made to harm")
    if image_format == "JPEG" and not _has_one_scan(data) and data.count(_JPEG_SCAN) > MAX_JPEG_SCANS:
        raise DataError(f"a JPEG of more than {MAX_JPEG_SCANS} scans; save it again")
    if image_format == "PNG":
        _check_chunks(data)
    return height, width


def _header(data: bytes) -> tuple[str, int, int]:
    """(format, height, width)"""
    with open_header(data) as header:
        return str(header.format), header.height, header.width


def _jpeg_header(data: bytes) -> tuple[str, int, int] | None:
    """`_header` of a JPEG without Pillow, which takes a tenth of a millisecond; None where it has to look."""
    if simplejpeg is None or not is_jpeg(data):
        return None
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return ("JPEG", height, width) if height * width <= MAX_PIXELS else None


def _png_header(data: bytes) -> tuple[str, int, int] | None:
    """`_header` of a PNG without Pillow; None where it has to look."""
    height, width = png_size(data) or (0, 0)
    return ("PNG", height, width) if 0 < height * width <= MAX_PIXELS else None


def _has_one_scan(data: bytes) -> bool:
    """Whether a JPEG's frame is not progressive and its first scan holds all components.

    Such a file libjpeg decodes in one pass, refusing more scans; to count them takes a pass over all bytes.
    """
    at, components = 2, 0
    while data[at : at + 1] == b"\xff" and at + 10 <= len(data):
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in _ONE_PASS_FRAMES:
            components = data[at + 9]
        if kind == _JPEG_SCAN[1]:
            return data[at + 4] == components
        at += 2 + length
    return False


def _check_chunks(data: bytes) -> None:
    """Refuses a PNG with a chunk that its bytes do not hold: OpenCV sets the room aside before it reads."""
    at, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if at + PNG_CHUNK_OVERHEAD > len(data):
            raise DataError("a PNG that is cut short or broken")
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += PNG_CHUNK_OVERHEAD + length
    if at > len(data):
        raise DataError("a PNG that is cut short or broken")


def _refuse_varying_alpha(stored: npt.NDArray) -> None:
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


def _decode(data: bytes, flags: int, size: tuple[int, int]) -> npt.NDArray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
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
