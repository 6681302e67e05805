"""Targets for pictures: JPEG, PNG, WebP and BMP, decoded, and their headers alone."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from charmnet.codecs import color_profile, decode_mask, decode_rgb, decode_user_mask, encode_png
from charmnet.errors import DataError
from charmnet.image_limits import image_size
from tests.factories import foreground, photograph
from tests.fuzz.targets import Target

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def pictures(size: tuple[int, int] = (24, 32)) -> dict[str, bytes]:
    """Encode a small picture in every kind that is read."""
    rng = np.random.default_rng(0)
    image = photograph(rng, size)
    made = {
        f"{suffix} {option}": cv2.imencode(suffix, image, options)[1].tobytes()
        for suffix, option, options in (
            (".jpg", "", []),
            (".jpg", "progressive", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
            (".jpg", "restarts", [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
            (".png", "", []),
            (".webp", "", []),
            (".bmp", "", []),
        )
    }
    made["mask"] = encode_png(foreground(rng, size) * np.uint8(255))
    made["1 bit"] = _pillow(Image.fromarray(image).convert("1"), "PNG")
    made["palette"] = _pillow(Image.fromarray(image).convert("P"), "PNG")
    made["alpha"] = _pillow(Image.fromarray(image).convert("RGBA"), "PNG")
    made["16 bit"] = _pillow(Image.fromarray(image[..., 0].astype(np.uint16) * 257), "PNG")
    text = PngInfo()
    text.add_text("note", "x" * 200, zip=True)
    made["text"] = _pillow(Image.fromarray(image), "PNG", pnginfo=text, icc_profile=b"RGB " * 40)
    made["grey jpeg"] = _pillow(Image.fromarray(image).convert("L"), "JPEG", exif=_turned().tobytes())
    made["cmyk"] = _pillow(Image.fromarray(image).convert("CMYK"), "JPEG")
    made["lossless webp"] = _pillow(Image.fromarray(image), "WEBP", lossless=True)
    return made


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _pillow(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def repair_png(rng: random.Random, data: bytes) -> bytes:
    """Correct the checksums of chunks, which decoders look at first, three times in four."""
    if not data.startswith(_PNG_SIGNATURE) or rng.random() < 0.25:
        return data
    repaired, at = bytearray(data), len(_PNG_SIGNATURE)
    while at + 12 <= len(repaired):
        (length,) = struct.unpack_from(">I", repaired, at)
        end = at + 8 + length
        if end + 4 > len(repaired):
            break
        struct.pack_into(">I", repaired, end, zlib.crc32(repaired[at + 4 : end]))
        at = end + 4
    return bytes(repaired)


def _read_picture(data: bytes) -> None:
    image = None
    for read in (image_size, color_profile, decode_rgb, decode_mask, decode_user_mask):
        with contextlib.suppress(DataError):
            image = read(data)
    with contextlib.suppress(DataError):
        image = decode_rgb(data, upright=True)
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)


def targets(folder: Path) -> list[Target]:
    del folder
    tokens = (
        b"IDAT",
        b"IHDR",
        b"zTXt",
        b"iCCP",
        b"acTL",
        b"fcTL",
        b"eXIf",
        b"\xff\xc0",
        b"\xff\xda",
        b"\xff\xd9",
    )
    return [Target("picture", _read_picture, tuple(pictures().values()), tokens, repair=repair_png)]
