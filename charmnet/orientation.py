"""EXIF orientations: how a picture's stored pixels have to be turned to be seen as it was taken."""

from __future__ import annotations

from charmnet.arrays import UInt8Array
from charmnet.errors import DataError
from charmnet.image_limits import open_header

UPRIGHT = 1
_TAG = 0x0112
_NAMES = {
    1: "upright",
    2: "mirrored",
    3: "upside down",
    4: "mirrored and upside down",
    5: "mirrored and on its side",
    6: "on its side",
    7: "mirrored and on its side",
    8: "on its side",
}
_ON_ITS_SIDE = (5, 6, 7, 8)


def orientation(data: bytes) -> int:
    """Return a picture's EXIF orientation, 1 to 8; 1 where there is none, or none that is valid.

    Raises:
        DataError: no picture.
    """
    with open_header(data) as header:
        try:
            value = header.getexif().get(_TAG, UPRIGHT)
        except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError):  # broken metadata
            return UPRIGHT
    return int(value) if value in _NAMES else UPRIGHT


def describe_orientation(value: int) -> str:
    """Return an orientation in words, with its number."""
    return f"{value} ({_NAMES[value]})"


def upright(image: UInt8Array, value: int) -> UInt8Array:
    """Turn stored pixels, [H,W] or [H,W,C], as their EXIF orientation says."""
    turned = image.swapaxes(0, 1) if value in _ON_ITS_SIDE else image
    if value in (3, 4, 7, 8):
        turned = turned[::-1]
    return turned[:, ::-1] if value in (2, 3, 6, 7) else turned


def check_mask_orientation(picture: bytes, mask: bytes) -> None:
    """Check that a mask turns as its picture does, or fits it one way round only.

    Raises:
        DataError: no picture; or one of the two is turned, the other is not, and the mask fits both ways or
            as the picture is stored, so that it cannot be told which way is meant.
    """
    turned = orientation(picture), orientation(mask)
    if turned[0] == turned[1]:
        return
    sizes = [_seen_size(data, value) for data, value in zip((picture, mask), turned, strict=True)]
    one_is_upright = UPRIGHT in turned and max(turned) in _ON_ITS_SIDE
    if one_is_upright and sizes[0] == sizes[1] and sizes[0][0] != sizes[0][1]:
        return
    raise DataError(
        f"the picture's EXIF orientation is {describe_orientation(turned[0])}, its mask's "
        f"{describe_orientation(turned[1])}: which way round the mask is cannot be told; turn both upright "
        "in an image editor and save them without an orientation"
    )


def _seen_size(data: bytes, value: int) -> tuple[int, int]:
    with open_header(data) as header:
        width, height = header.size
    return (width, height) if value in _ON_ITS_SIDE else (height, width)
