"""What a page does with pictures beside harmonizing them: previews, painted masks, pairs by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import cv2
import numpy as np

from charmnet.arrays import UInt8Array
from charmnet.codecs import encode_jpeg, encode_mask
from charmnet.encoded_pictures import EncodedPicture
from charmnet.errors import DataError
from charmnet.orientation import UPRIGHT, orientation
from charmnet.picture_formats import SUFFIXES, Picture, as_codec_format, decode_picture, encode_picture
from pipelines.harmonization.files import match_masks

PREVIEW_SIDE = 1280
"""Longest side of what the page shows, in pixels; results are made at full size."""

_WHITE = 255


def preview(data: bytes, side: int = PREVIEW_SIDE) -> Picture:
    """Return a picture upright, shrunk to a longest side, what is transparent on white; its profile stays.

    Raises:
        DataError: no picture, broken or too large.
    """
    picture = decode_picture(data)
    pixels = _shrunk(picture.pixels, side)
    if picture.alpha is not None:
        share = _shrunk(picture.alpha, side).astype(np.float32)[..., None] / 255
        pixels = np.rint(pixels * share + _WHITE * (1 - share)).astype(np.uint8)
    return Picture(pixels, profile=picture.profile)


def encode_preview(picture: Picture) -> bytes:
    """Return a preview as a JPEG."""
    return encode_jpeg(picture.pixels, profile=picture.profile)


def _shrunk(image: UInt8Array, side: int) -> UInt8Array:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(round(length * scale), 1) for length in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def painted_mask(layers: Sequence[UInt8Array], height: int, width: int) -> bytes:
    """Return strokes as a mask's PNG.

    Args:
        layers: [h,w,4] RGBA of any size; where one of them is opaque by half or more is foreground.
        height: rows of the mask.
        width: columns of the mask.

    Raises:
        DataError: nothing is painted.
    """
    mask = np.zeros((height, width), np.uint8)
    for layer in layers:
        alpha = cv2.resize(layer[..., 3], (width, height), interpolation=cv2.INTER_LINEAR)
        mask |= (alpha >= 128).astype(np.uint8)
    if not mask.any():
        raise DataError("nothing is painted yet: paint over the foreground, or take a mask from a file")
    return encode_mask(mask)


def upright_picture(composite: EncodedPicture) -> EncodedPicture:
    """Return a picture that fits a mask which is painted on it: turned as its EXIF orientation says.

    Raises:
        DataError: no picture, or broken.
    """
    data = as_codec_format(composite.data)
    if orientation(data) == UPRIGHT:
        return composite
    return EncodedPicture(encode_picture(decode_picture(data), ".png"), composite.name)


def pair_by_name(
    pictures: Sequence[str], masks: Sequence[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Find the mask of each picture: the only one, or by the words of their names as `match_masks` does.

    Args:
        pictures: paths of pictures.
        masks: paths of masks.

    Returns:
        (picture, mask) of those that have one, and (picture, reason) of the others.
    """
    if len(masks) == 1:
        return [(picture, masks[0]) for picture in pictures], []
    paths = {PurePath(mask).name: mask for mask in masks}
    found = match_masks({PurePath(picture).name for picture in pictures}, (PurePath(m).name for m in masks))
    mask_of, reason_of = dict(found.pairs), dict(found.incomplete)
    no_picture = f"expected a name that ends in {', '.join(SUFFIXES)}, and not in .mask.png"
    pairs, missing = [], []
    for picture in pictures:
        name = PurePath(picture).name
        if name in mask_of:
            pairs.append((picture, paths[mask_of[name]]))
        else:
            missing.append((picture, reason_of.get(name, no_picture)))
    return pairs, missing
