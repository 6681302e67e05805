"""EXIF orientations of pictures and the masks that belong to them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from charmnet.codecs import decode_rgb, encode_png
from charmnet.errors import DataError
from charmnet.orientation import check_mask_orientation, orientation, upright

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def turned(pixels: np.ndarray, value: object, image_format: str = "PNG") -> bytes:
    """Encode pixels with an EXIF orientation."""
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = value
    Image.fromarray(pixels).save(stream, image_format, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("value", range(1, 9))
def test_stored_pixels_are_turned_as_opencv_turns_them(value: int) -> None:
    picture = turned(PIXELS, value)
    assert orientation(picture) == value
    assert np.array_equal(upright(PIXELS, value), decode_rgb(picture, upright=True))


def test_a_picture_without_a_valid_orientation_is_upright() -> None:
    assert [orientation(data) for data in (encode_png(PIXELS), turned(PIXELS, 0), turned(PIXELS, 9))] == [
        1,
        1,
        1,
    ]
    assert orientation(turned(PIXELS, 6, "JPEG")) == 6


def test_a_mask_has_to_fit_its_picture_one_way_round() -> None:
    mask, square = np.zeros((6, 9), np.uint8), np.zeros((6, 6), np.uint8)
    for picture, fitting in (
        (turned(PIXELS, 3), turned(mask, 3)),  # both are turned
        (turned(PIXELS, 6), turned(mask, 6)),
        (turned(PIXELS, 6), encode_png(mask.T.copy())),  # drawn on the picture as it is seen
        (encode_png(PIXELS), encode_png(mask)),
    ):
        check_mask_orientation(picture, fitting)
    for picture, ambiguous in (
        (turned(PIXELS, 3), encode_png(mask)),
        (encode_png(PIXELS), turned(mask, 3)),
        (turned(PIXELS, 6), encode_png(mask)),  # drawn on the pixels as they are stored
        (turned(PIXELS[:, :6], 6), encode_png(square)),
        (turned(PIXELS, 3), turned(mask, 4)),
    ):
        with pytest.raises(DataError, match=r"EXIF orientation is \d \(.*, its mask's \d .*upright"):
            check_mask_orientation(picture, ambiguous)
