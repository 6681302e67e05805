"""Formats of users' pictures, with transparency, profile and orientation."""

from __future__ import annotations

import contextlib
import io
import struct
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from charmnet.blending import Adjustment
from charmnet.codecs import encode_png
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.errors import DataError
from charmnet.full_size import harmonize_full_size
from charmnet.methods import CharmNetMethod
from charmnet.picture_formats import (
    SUFFIXES,
    Picture,
    as_codec_format,
    decode_picture,
    encode_picture,
    picture_size,
)
from tests.factories import foreground, photograph

RNG = np.random.default_rng(0)
PIXELS, ALPHA = photograph(RNG, (40, 60)), RNG.integers(0, 256, (40, 60), np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS, LOSSY = (".png", ".webp", ".tif", ".TIFF"), (".avif", ".heic")
METHOD = CharmNetMethod(width=8, seed=0)


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_a_lossless_format_gives_back_colours_transparency_and_profile(
    suffix: str, alpha: np.ndarray | None
) -> None:
    again = decode_picture(encode_picture(Picture(PIXELS, alpha, PROFILE), suffix))
    assert np.array_equal(again.pixels, PIXELS)
    assert again.alpha is alpha or np.array_equal(again.alpha, alpha)
    assert again.profile == PROFILE


@pytest.mark.parametrize("suffix", LOSSY)
def test_a_lossy_format_gives_back_almost_the_same(suffix: str) -> None:
    smooth = np.full_like(ALPHA, 200)
    again = decode_picture(encode_picture(Picture(PIXELS, smooth, PROFILE), suffix))
    assert np.abs(again.pixels.astype(int) - PIXELS).mean() < 4
    assert np.abs(again.alpha.astype(int) - 200).max() <= 4
    assert again.profile == PROFILE


def test_a_jpeg_holds_no_transparency_and_other_suffixes_are_refused() -> None:
    assert decode_picture(encode_picture(Picture(PIXELS, ALPHA), ".JPG")).alpha is None
    with pytest.raises(ValueError, match=r"\.gif: expected one of \.png"):
        encode_picture(Picture(PIXELS), ".gif")
    assert len(SUFFIXES) == 9


@pytest.mark.parametrize("image_format", ["PNG", "AVIF"])
def test_pictures_and_their_transparency_are_turned_upright(image_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    half = np.zeros_like(ALPHA)
    half[:20] = 255
    data = saved(Image.fromarray(np.dstack([PIXELS, half])), image_format, exif=exif)
    picture = decode_picture(data)
    assert picture.pixels.shape == (60, 40, 3)
    assert picture.alpha[:, 20:].min() > 200  # the upper half is at the right
    assert picture.alpha[:, :20].max() < 50


def test_sixteen_bits_of_a_png_s_transparency_become_eight() -> None:
    pixels = np.zeros((4, 5, 4), np.uint16)
    pixels[..., 3], pixels[0, 0, 3] = 65_535, 65_534
    alpha = decode_picture(cv2.imencode(".png", pixels)[1].tobytes()).alpha
    assert alpha[0, 0] == 254
    assert np.count_nonzero(alpha == 255) == 19


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16"])
def test_tiffs_of_other_modes_become_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(PIXELS).convert(mode)
    picture = decode_picture(saved(image, "TIFF"))
    expected = PIXELS[..., :1] if mode == "I;16" else np.asarray(image.convert("RGB"))
    assert picture.pixels.shape == PIXELS.shape
    assert np.abs(picture.pixels.astype(int) - expected).max() <= 1


def test_numbers_that_are_no_colours_are_refused() -> None:
    with pytest.raises(DataError, match="mode F; expected RGB or grey"):
        decode_picture(saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))


def test_a_tiff_that_is_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    data = saved(Image.fromarray(PIXELS), "TIFF")
    for sides, message in (((30_000, 5_000), "decompression bomb"), ((60_000, 60_000), "the limit")):
        broken = bytearray(data)
        (first,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, first)
        for entry in range(first + 2, first + 2 + 12 * count, 12):
            (tag,) = struct.unpack_from("<H", data, entry)
            if tag in (256, 257):
                struct.pack_into("<HHII", broken, entry, tag, 4, 1, sides[tag - 256])
        for read in (as_codec_format, picture_size):
            with pytest.raises(DataError, match=message):
                read(bytes(broken))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_size_is_known_from_the_header(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_picture(Picture(PIXELS), suffix)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)  # nothing may be decoded
    assert picture_size(data) == (40, 60)
    with pytest.raises(DataError):
        picture_size(data[:9])


@given(st.sampled_from([".tif", ".avif", ".heic"]), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_damaged_files_are_refused_or_read_and_nothing_else(suffix: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(encode_picture(Picture(PIXELS), suffix))
    for position in rng.integers(0, len(data), 4):
        data[position] = rng.integers(0, 256)
    damaged = bytes(data[: rng.integers(8, len(data) + 1)])
    with contextlib.suppress(DataError):
        assert decode_picture(damaged).pixels.dtype == np.uint8


def test_a_format_that_is_not_installed_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_picture(Picture(PIXELS), ".heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r"pip install 'charmnet\[heic\]'"):
        decode_picture(data)
    with pytest.raises(DataError, match="pillow-heif"):
        encode_picture(Picture(PIXELS), ".heic")


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_transparency_is_handed_on_and_changes_no_colour(suffix: str) -> None:
    mask = foreground(np.random.default_rng(1), (40, 60))
    composite = EncodedPicture(encode_picture(Picture(PIXELS, ALPHA, PROFILE), suffix), f"in{suffix}")
    mask_file = EncodedPicture(encode_picture(Picture(np.dstack([mask * np.uint8(255)] * 3)), suffix), "mask")
    adjustment = Adjustment(strength=0.5, feather=2)
    result = harmonize_encoded(METHOD, composite, mask_file, f"out{suffix}", adjustment)
    again = decode_picture(result.data)
    assert result.warnings == ()
    assert np.array_equal(again.alpha, ALPHA)
    assert again.profile == PROFILE
    assert np.array_equal(again.pixels, harmonize_full_size(METHOD, PIXELS, mask, strength=0.5, feather=2))


def test_a_jpeg_says_that_it_drops_transparency() -> None:
    mask = EncodedPicture(encode_png(foreground(np.random.default_rng(1), (40, 60)) * np.uint8(255)), "mask")
    composite = EncodedPicture(encode_picture(Picture(PIXELS, ALPHA), ".png"), "s3://b/in.png")
    (warning,) = harmonize_encoded(METHOD, composite, mask, "out.jpg").warnings
    assert warning.startswith("in.png: 2,3")
    assert "a PNG keeps it" in warning
    with pytest.raises(DataError, match=r"^page: 4 bytes"):
        harmonize_encoded(METHOD, EncodedPicture(b"none", "page"), mask)
