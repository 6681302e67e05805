"""Harmonization of a user's files: picture and mask as bytes, the result as bytes.

Command line, page and endpoint call this, so that they give the same picture to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from charmnet.blending import Adjustment
from charmnet.codecs import decode_user_mask
from charmnet.errors import DataError, WeightsError
from charmnet.full_size import harmonize_full_size
from charmnet.methods import HarmonizationMethod
from charmnet.orientation import check_mask_orientation
from charmnet.picture_formats import (
    Picture,
    as_codec_format,
    decode_picture,
    encode_picture,
    keeps_transparency,
)


@dataclass(frozen=True)
class EncodedPicture:
    """A picture's or mask's file.

    Attributes:
        data: content of the file.
        name: name of the file, for messages; a path or URI is shortened in warnings.
    """

    data: bytes
    name: str

    @property
    def short_name(self) -> str:
        """The last part of the name."""
        return PurePosixPath(self.name).name


@dataclass(frozen=True)
class EncodedResult:
    """A harmonized picture's file.

    Attributes:
        data: content of the file.
        warnings: remarks about the mask, and about what was dropped of the picture.
    """

    data: bytes
    warnings: tuple[str, ...] = ()


def harmonize_encoded(
    method: HarmonizationMethod,
    composite: EncodedPicture,
    mask: EncodedPicture,
    out_name: str = "result.png",
    adjustment: Adjustment | None = None,
    device: torch.device | str = "cpu",
) -> EncodedResult:
    """Harmonize a picture at its own size, upright, with its colour profile and its transparency.

    The network gets colours as they are stored; transparency is handed on where the format has it.

    Args:
        method: method that harmonizes, on the device.
        composite: picture in any format of `picture_formats`.
        mask: mask of its foreground, 128 of 255 and above, in any of these formats.
        out_name: name of the result, whose suffix (one of `picture_formats.SUFFIXES`) gives its format.
        adjustment: strength, feather and background; by default all of the change, in the foreground alone.
        device: device of the method.

    Raises:
        DataError: a file is broken, too large or of another format, sizes or EXIF orientations differ, the
            foreground is too small, or the result does not fit its format; names the file.
        WeightsError: the network's output holds NaN or infinite values; names the file.
        ValueError: no format has the result's suffix.
    """
    adjustment = adjustment or Adjustment()
    suffix = PurePosixPath(out_name).suffix
    with _naming(composite.name):
        data = as_codec_format(composite.data)
        picture = decode_picture(data)
    with _naming(mask.name):
        mask_data = as_codec_format(mask.data)
        foreground, remark = decode_user_mask(mask_data)
    with _naming(f"{composite.name} with {mask.name}"):
        check_mask_orientation(data, mask_data)
        pixels = harmonize_full_size(
            method,
            picture.pixels,
            foreground,
            adjustment.background,
            device,
            strength=adjustment.strength,
            feather=adjustment.feather,
        )
    with _naming(f"{composite.name} as {PurePosixPath(out_name).name}"):
        encoded = encode_picture(Picture(pixels, picture.alpha, picture.profile), suffix)
    warnings = [f"{mask.short_name}: {remark}"] if remark else []
    if picture.alpha is not None and not keeps_transparency(suffix):
        transparent = int((picture.alpha != 255).sum())
        warnings.append(
            f"{composite.short_name}: {transparent:,} of {foreground.size:,} pixels are transparent; this is "
            "dropped, and their colours are taken as they are stored; a PNG keeps it"
        )
    return EncodedResult(encoded, tuple(warnings))


@contextmanager
def _naming(subject: str) -> Iterator[None]:
    """Put the file that an error is about before its message."""
    try:
        yield
    except (DataError, WeightsError) as error:
        raise type(error)(f"{subject}: {error}") from error
