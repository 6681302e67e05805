import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from charmnet.codecs import decode_mask, decode_rgb, encode_png
from charmnet.encoded_pictures import EncodedPicture
from charmnet.errors import DataError
from charmnet.orientation import UPRIGHT, orientation
from pipelines.demo.pictures import encode_preview, painted_mask, pair_by_name, preview, upright_picture


def layer(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 4), np.uint8)


def test_a_preview_is_shrunk_and_shows_what_is_transparent_on_white() -> None:
    pixels = np.zeros((40, 100, 4), np.uint8)
    pixels[:, :50, 3] = 255
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")

    shown = preview(stream.getvalue(), side=50)

    assert shown.pixels.shape == (20, 50, 3)
    assert shown.alpha is None
    assert (shown.pixels[:, :24] == 0).all()
    assert (shown.pixels[:, 26:] == 255).all()
    assert decode_rgb(encode_preview(shown)).shape == (20, 50, 3)


def test_a_thin_picture_keeps_a_pixel() -> None:
    assert preview(encode_png(np.zeros((1, 500, 3), np.uint8)), side=50).pixels.shape == (1, 50, 3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 90), st.integers(1, 90))
def test_a_fully_painted_layer_is_a_full_mask_of_any_size(h: int, w: int, height: int, width: int) -> None:
    painted = layer(h, w)
    painted[..., 3] = 255
    assert (decode_mask(painted_mask([painted], height, width)) == np.ones((height, width))).all()


def test_strokes_are_foreground_where_they_are_and_layers_add_up() -> None:
    first, second = layer(10, 20), layer(20, 40)
    first[:5, :5, 3] = 255
    first[:, 19, 3] = 100  # less than half opaque
    second[18:, 38:] = 255
    mask = decode_mask(painted_mask([first, second], 20, 40))
    expected = np.zeros((20, 40), np.uint8)
    expected[:10, :10] = expected[18:, 38:] = 1
    assert (mask == expected).all()


@pytest.mark.parametrize("layers", [[], [layer(8, 8)]])
def test_nothing_painted_is_said(layers: list[np.ndarray]) -> None:
    with pytest.raises(DataError, match="nothing is painted"):
        painted_mask(layers, 8, 8)


def test_what_is_painted_on_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    turned = upright_picture(EncodedPicture(stream.getvalue(), "in.png"))
    assert orientation(turned.data) == UPRIGHT
    assert (decode_rgb(turned.data) == pixels[::-1, ::-1]).all()

    straight = EncodedPicture(encode_png(pixels), "in.png")
    assert upright_picture(straight) is straight


def test_masks_are_found_by_name_or_are_the_only_one() -> None:
    pictures = ["/a/One.jpg", "/b/two.png", "/a/two.png", "/a/three.png", "/a/notes.txt"]
    masks = ["/m/one.png", "/m/two.mask.png", "/m/other_mask.png"]
    pairs, missing = pair_by_name(pictures, masks)
    two = "/m/two.mask.png"
    assert pairs == [("/a/One.jpg", "/m/one.png"), ("/b/two.png", two), ("/a/two.png", two)]
    assert [path for path, _ in missing] == ["/a/three.png", "/a/notes.txt"]
    assert "three_mask.png" in missing[0][1]
    assert pair_by_name(pictures[:2], ["/m/any.png"]) == ([(path, "/m/any.png") for path in pictures[:2]], [])
