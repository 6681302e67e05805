"""What is dropped of a row's pictures, and whether they are turned alike."""

from __future__ import annotations

import numpy as np

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_rgb, read_mask, transparent_pixels
from charmnet.errors import DataError
from charmnet.orientation import describe_orientation, orientation, upright
from pipelines.shards.rows import PictureError, Row, pictures_of

GREY_MASK = "masks with grey values, of which 255 alone is foreground"
THIN_MASK = "masks of which that leaves less than half of what is 128 and above"
FULL_MASK = "masks that make the whole picture foreground"
TRANSPARENT_MASK = "masks with transparency, which is not looked at"
TRANSPARENT_PICTURE = "pictures with transparency, which is dropped"
_MASK = "foreground_mask"


def picture_remarks(row: Row) -> list[str]:
    """Return what is dropped of a new row's pictures, in the words of the summary.

    Raises:
        PictureError: the mask's shape is in its transparency, or the pictures are turned differently.
    """
    pictures = pictures_of(row)
    photographs = {role: data for role, data in pictures.items() if role != _MASK}
    try:
        mask = read_mask(pictures[_MASK])
    except DataError as error:
        raise PictureError(_MASK, str(error)) from error
    _check_turned_alike(photographs, mask.mask)
    found = {
        GREY_MASK: mask.grey > 0,
        THIN_MASK: int(mask.mask.sum()) < mask.half / 2,
        FULL_MASK: bool(mask.mask.all()),
        TRANSPARENT_MASK: mask.transparent,
    }
    transparent = sum(transparent_pixels(data) > 0 for data in photographs.values())
    return [text for text, holds in found.items() if holds] + [TRANSPARENT_PICTURE] * transparent


def _check_turned_alike(photographs: dict[str, bytes], mask: MaskArray) -> None:
    """Refuse pictures with different EXIF orientations, unless their stored pixels show the same.

    Pixels are taken as they are stored: programs that write composites often drop the tag and leave the
    pixels as they are, and that pair is in order.
    """
    turned = {role: orientation(data) for role, data in photographs.items()}
    first = next(iter(photographs))
    for role, value in turned.items():
        if value == turned[first]:
            continue
        pixels = decode_rgb(photographs[first]), decode_rgb(photographs[role])
        if not _shows_the_same(pixels, (turned[first], value), mask):
            raise PictureError(
                role,
                f"its EXIF orientation is {describe_orientation(value)}, that of {first} "
                f"{describe_orientation(turned[first])}, and the stored pixels do not show the same; turn "
                "both upright in an image editor and save them without an orientation",
            )


def _shows_the_same(pixels: tuple[UInt8Array, UInt8Array], turned: tuple[int, int], mask: MaskArray) -> bool:
    """Tell whether the stored backgrounds agree better than those that are turned as their files say."""
    seen = upright(pixels[0], turned[0]), upright(pixels[1], turned[1])
    if seen[0].shape != seen[1].shape:
        return True  # turned so they could not be a pair
    return _difference(pixels, mask) <= _difference(seen, upright(mask, turned[0]))


def _difference(pixels: tuple[UInt8Array, UInt8Array], mask: MaskArray) -> float:
    """Return the mean difference of two pictures in the background, or all over where there is none."""
    one, other = (image if mask.all() else image[mask == 0] for image in pixels)
    return float(np.abs(one.astype(np.int16) - other).mean())
