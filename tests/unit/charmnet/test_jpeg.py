"""What is left of a JPEG when its metadata are gone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from skimage import data

from charmnet.codecs import decode_rgb, encode_jpeg
from charmnet.jpeg import without_metadata

PHOTOGRAPH = data.astronaut()[:120, :161]
PLACE = b"Sackville Street"
_GPS, _PLACE_NAME = 0x8825, 0x1C  # tags of EXIF


def photographed(**options: object) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(_GPS)[_PLACE_NAME] = PLACE
    exif[0x010F] = "A camera"
    stream = io.BytesIO()
    Image.fromarray(PHOTOGRAPH).save(stream, "JPEG", exif=exif, comment=PLACE, xmp=PLACE, **options)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_metadata_go_and_pixels_and_colour_profile_stay(options: dict[str, object]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    jpeg = photographed(icc_profile=profile, **options)
    assert jpeg.count(PLACE) == 3
    plain = without_metadata(jpeg + photographed())  # phones append a second picture
    assert plain is not None
    assert PLACE not in plain
    assert b"camera" not in plain
    picture = Image.open(io.BytesIO(plain))
    assert picture.info["icc_profile"] == profile
    assert not picture.getexif()
    assert np.array_equal(decode_rgb(plain), decode_rgb(jpeg))
    assert len(plain) < len(jpeg)
    assert without_metadata(plain) == plain


def test_a_file_without_metadata_keeps_every_byte() -> None:
    for jpeg in (encode_jpeg(PHOTOGRAPH), encode_jpeg(PHOTOGRAPH[..., 0])):
        assert without_metadata(jpeg) == jpeg


def test_a_file_without_its_end_is_none() -> None:
    jpeg = encode_jpeg(PHOTOGRAPH)
    assert without_metadata(jpeg[:-2]) is None
    assert without_metadata(b"") is None


@given(st.integers(2, 600), st.binary(min_size=1, max_size=4))
def test_damaged_files_give_a_part_of_themselves_or_none(place: int, damage: bytes) -> None:
    jpeg = encode_jpeg(PHOTOGRAPH)
    damaged = jpeg[:place] + damage + jpeg[place + len(damage) :]
    plain = without_metadata(damaged)
    assert plain is None or len(plain) <= len(damaged)
