"""Pictures and masks through encoding and decoding, and the files that are refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin
from skimage import data

from charmnet.codecs import (
    REDUCTIONS,
    color_profile,
    decode_mask,
    decode_rgb,
    decode_user_mask,
    encode_jpeg,
    encode_mask,
    encode_png,
)
from charmnet.errors import DataError
from charmnet.image_limits import image_size

PHOTOGRAPH = data.astronaut()[:300, :401]


def encoded(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, PHOTOGRAPH[..., ::-1], options)[1].tobytes()


def pillow_bytes(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def test_lossless_round_trip_is_rgb() -> None:
    assert np.array_equal(decode_rgb(encode_png(PHOTOGRAPH)), PHOTOGRAPH)


def test_jpeg_decodes_as_pillow_does() -> None:
    jpeg = encode_jpeg(PHOTOGRAPH)
    assert np.array_equal(decode_rgb(jpeg), np.asarray(Image.open(io.BytesIO(jpeg))))
    assert np.abs(decode_rgb(jpeg).astype(int) - PHOTOGRAPH).mean() < 3


@pytest.mark.parametrize("size", [(300, 401), (9, 17), (1, 1)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_has_opencvs_pixels_whoever_decodes_it(
    mode: str, options: dict[str, object], size: tuple[int, int]
) -> None:
    image = Image.fromarray(PHOTOGRAPH[: size[0], : size[1]]).convert(mode)
    jpeg = pillow_bytes(image, "JPEG", quality=90, **options)
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(decode_rgb(jpeg), expected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_reduced_jpeg_is_the_picture_in_small(reduction: int, monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg = encode_jpeg(PHOTOGRAPH)
    height, width = -(-300 // reduction), -(-401 // reduction)
    reduced = decode_rgb(jpeg, reduction=reduction)
    assert reduced.shape == (height, width, 3)
    whole = decode_rgb(jpeg)[: 300 // reduction * reduction, : 401 // reduction * reduction]
    small = cv2.resize(whole, (401 // reduction, 300 // reduction), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced[: small.shape[0], : small.shape[1]].astype(int) - small).mean() < 2
    monkeypatch.setattr("charmnet.jpeg.simplejpeg", None)
    assert np.array_equal(decode_rgb(jpeg, reduction=reduction), reduced)
    assert np.array_equal(decode_rgb(encode_png(PHOTOGRAPH), reduction=reduction), PHOTOGRAPH)


def test_size_comes_from_the_header_alone() -> None:
    assert image_size(encode_png(PHOTOGRAPH)[:200]) == (300, 401)
    assert image_size(encode_jpeg(PHOTOGRAPH)[:1000]) == (300, 401)


@pytest.mark.parametrize("grey", ["L", "LA", "I;16"])
def test_other_modes_become_rgb(grey: str) -> None:
    values = PHOTOGRAPH[..., 0]
    image = (
        Image.fromarray(values.astype(np.uint16) * 257)
        if grey == "I;16"
        else Image.fromarray(values).convert(grey)
    )
    assert np.array_equal(decode_rgb(pillow_bytes(image, "PNG")), np.stack([values] * 3, axis=-1))


@pytest.mark.parametrize(
    "whole",
    [encoded(".jpg"), encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), encoded(".png"), encoded(".webp")],
    ids=["jpeg", "progressive", "png", "webp"],
)
def test_data_cut_short_is_refused_wherever_it_is_cut(whole: bytes) -> None:
    decode_rgb(whole)
    for cut in (1, 2, 13, 200, len(whole) // 2, len(whole) - 700, len(whole) - 10, len(whole)):
        with pytest.raises(DataError):
            decode_rgb(whole[: len(whole) - cut])


def test_a_png_with_a_changed_byte_is_refused() -> None:
    png = bytearray(encode_png(PHOTOGRAPH))
    png[len(png) // 2] ^= 1
    with pytest.raises(DataError, match="broken"):
        decode_rgb(bytes(png))


def test_what_is_no_picture_is_refused() -> None:
    for junk in (b"", b"GIF89a" + bytes(100), b"<svg></svg>", bytes(1000)):
        with pytest.raises(DataError, match="no picture"):
            image_size(junk)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    png += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(DataError, match="limit"):
        decode_rgb(png)


def test_exif_orientation_is_ignored_unless_upright_is_asked() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show
    jpeg = pillow_bytes(Image.fromarray(PHOTOGRAPH), "JPEG", exif=exif)
    assert image_size(jpeg) == (300, 401)
    assert decode_rgb(jpeg).shape == (300, 401, 3)
    assert np.array_equal(decode_rgb(jpeg, upright=True), np.rot90(decode_rgb(jpeg), -1))


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
def test_colour_profiles_are_handed_on(encode: Callable[..., bytes]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, profiled = encode(PHOTOGRAPH), encode(PHOTOGRAPH, profile=profile)
    assert color_profile(plain) is None
    assert color_profile(profiled) == profile
    assert np.abs(decode_rgb(profiled).astype(int) - decode_rgb(plain)).max() <= 1


@pytest.mark.parametrize("kind", ["profile", "large profile", "zTXt", "tEXt", "iTXt"])
def test_the_size_of_a_pngs_metadata_says_nothing_about_the_picture(kind: str) -> None:
    profile = bytes(16) + b"RGB " + np.random.default_rng(0).bytes(1_600_000)
    info, options = PngImagePlugin.PngInfo(), {}
    if "profile" in kind:
        profile = profile * (6 if kind.startswith("large") else 1)
        options = {"icc_profile": profile}
    elif kind == "iTXt":
        info.add_itxt("text", "x" * 9_000_000)
    else:
        info.add_text("text", "x" * 2_000_000, zip=kind == "zTXt")
    png = pillow_bytes(Image.fromarray(PHOTOGRAPH), "PNG", pnginfo=info, **options)
    assert image_size(png) == PHOTOGRAPH.shape[:2]
    assert np.array_equal(decode_rgb(png), PHOTOGRAPH)
    assert color_profile(png) == (profile if options else None)
    mask = pillow_bytes(Image.fromarray(PHOTOGRAPH[..., 0]), "PNG", pnginfo=info, **options)
    assert np.array_equal(decode_user_mask(mask)[0], PHOTOGRAPH[..., 0] >= 128)
    if options:
        assert color_profile(encode_png(decode_rgb(png), profile=profile)) == profile


def test_a_broken_profile_is_left_behind() -> None:
    chunk = b"iCCPname\0\0" + bytes(600)
    png = encode_png(PHOTOGRAPH)
    broken = (
        png[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    )
    assert color_profile(broken) is None
    assert np.array_equal(decode_rgb(broken), PHOTOGRAPH)


def test_only_255_is_foreground_in_data_sets() -> None:
    values = np.array([[0, 1, 127], [128, 254, 255]], np.uint8)
    mask = decode_mask(encode_png(values))
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_masks_of_one_channel_are_what_they_were_in_three() -> None:
    values = (np.arange(35 * 51, dtype=np.uint8).reshape(35, 51) > 100) * np.uint8(255)
    for mode in ("L", "1", "LA", "P", "RGB"):
        png = pillow_bytes(Image.fromarray(values).convert(mode), "PNG")
        assert np.array_equal(decode_mask(png), values // 255), mode
    assert np.array_equal(decode_mask(encode_mask(values // 255)), values // 255)
    assert len(encode_mask(values // 255)) < len(encode_png(values))


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    changed=st.binary(max_size=1),
)
def test_masks_of_one_bit_are_what_opencv_reads(height: int, width: int, seed: int, changed: bytes) -> None:
    """Whole pictures, and pictures with a changed byte, are refused by both or by none."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(2, size=(height, width), dtype=np.uint8)
    data = bytearray(encode_mask(mask))
    assert np.array_equal(decode_mask(bytes(data)), mask)
    if changed:
        data[rng.integers(len(data))] = changed[0]
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    try:
        got = decode_mask(bytes(data))
    except DataError:
        return
    assert read is not None
    assert np.array_equal(got, read == 255)


def test_masks_take_their_first_channel_and_one_bit_masks_work() -> None:
    colour = np.zeros((2, 3, 3), np.uint8)
    colour[0, :, 0] = 255
    colour[1, :, 2] = 255
    assert decode_mask(encode_png(colour)).tolist() == [[1, 1, 1], [0, 0, 0]]
    one_bit = Image.fromarray(colour[..., 0]).convert("1")
    assert decode_mask(pillow_bytes(one_bit, "PNG")).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_user_masks_are_cut_at_128_and_warn_about_values_between() -> None:
    mask, warning = decode_user_mask(encode_png(np.array([[0, 127, 128, 255]], np.uint8)))
    assert mask.tolist() == [[0, 0, 1, 1]]
    assert warning is not None
    assert "2 of 4" in warning
    assert decode_user_mask(encode_png(np.array([[0, 255]], np.uint8)))[1] is None


def test_masks_whose_foreground_cannot_be_told_are_refused() -> None:
    grey = np.array([[0, 255, 255]], np.uint8)
    white = np.full((1, 3, 3), 255, np.uint8)
    with pytest.raises(DataError, match="transparency varies"):
        decode_user_mask(pillow_bytes(Image.fromarray(np.dstack([white, grey])), "PNG"))
    red = white.copy()
    red[0, 0] = (255, 0, 0)
    palette = Image.fromarray(red).convert("P", palette=Image.Palette.ADAPTIVE)
    for colored in (encode_png(red), pillow_bytes(palette, "PNG")):
        with pytest.raises(DataError, match="coloured"):
            decode_user_mask(colored)
    opaque = np.dstack([np.stack([grey] * 3, -1), np.full_like(grey, 255)])
    grey_palette = Image.fromarray(grey).convert("P")
    for mask in (Image.fromarray(opaque), grey_palette, Image.fromarray(grey).convert("1")):
        assert decode_user_mask(pillow_bytes(mask, "PNG"))[0].tolist() == [[0, 1, 1]]


def test_a_user_mask_that_is_nowhere_bright_is_refused_with_its_highest_value() -> None:
    for dark in (np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint16), np.array([[3, 127]], np.uint8)):
        with pytest.raises(DataError, match=rf"highest value is {dark.max()} of 255; .*multiply"):
            decode_user_mask(pillow_bytes(Image.fromarray(dark), "PNG"))
    assert not decode_user_mask(encode_png(np.zeros((2, 2), np.uint8)))[0].any()


def test_what_is_no_picture_of_the_usual_formats_is_named() -> None:
    picture = Image.fromarray(PHOTOGRAPH)
    held = {
        "a GIF,": pillow_bytes(picture, "GIF"),
        "a JPEG 2000,": pillow_bytes(picture, "JPEG2000"),
        "a web page,": b"\n<!DOCTYPE html><title>404</title>",
        "nothing but zeros": bytes(5000),
        "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "no picture;": b"",
    }
    for name, file in held.items():
        with pytest.raises(DataError, match=rf"^{len(file):,} bytes that are .*{name}.*expected JPEG, PNG"):
            decode_rgb(file)


def test_user_masks_of_sixteen_bits_are_scaled() -> None:
    def decoded(*values: int) -> tuple[list, str | None]:
        mask, warning = decode_user_mask(pillow_bytes(Image.fromarray(np.array([values], np.uint16)), "PNG"))
        return mask[0].tolist(), warning

    assert decoded(0, 65_535) == ([0, 1], None)
    assert decoded(0, 20_000, 40_000)[0] == [0, 0, 1]
    mask, warning = decoded(0, 255)
    assert mask == [0, 1]
    assert warning is not None
    assert "16 bits" in warning


def test_profiles_that_do_not_fit_rgb_are_left_behind() -> None:
    grey = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    grey[16:20] = b"GRAY"
    assert color_profile(encode_png(PHOTOGRAPH, profile=bytes(grey))) is None


def test_what_a_jpeg_cannot_hold_is_said() -> None:
    wide = np.zeros((1, 65_536, 3), np.uint8)
    for profile in (None, b"x" * 128):
        with pytest.raises(DataError, match="does not fit a JPEG"):
            encode_jpeg(wide, profile=profile)


def test_large_pictures_within_the_limit_open_without_a_warning() -> None:
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + header, b"IDAT"):
        png += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert image_size(png) == (10_000, 10_000)
