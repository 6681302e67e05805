"""The foregrounds of a folder of photographs and one of masks: found by name, read, and measured.

The masks of the photograph `NAME.jpg` are `NAME.png` or, for several, `NAME_1.png`, `NAME_2.png`, ..., in the
same sub-folder of theirs if there are sub-folders. Grey values of 128 and above are foreground.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_rgb, decode_user_mask
from charmnet.errors import DataError
from charmnet.recoloring import ColorStatistics, foreground_colors
from pipelines.conversion.lists import Categories
from pipelines.runtime.storage import Location, MissingError
from pipelines.shards.rejection import Rejection

_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_MASK_SUFFIX = ".png"
SPLITS = (TRAIN, TEST) = ("train", "test")


@dataclass(frozen=True)
class Foreground:
    """
    Attributes:
        name: of the mask in a released layout, `<image>_<mask>`. photo, mask: paths beneath their folders.
        photograph: what it is a part of; colours are taken from another one.
        category: None is a category too. split: train or test, the same for all of a photograph.
    """

    name: str
    photo: str
    mask: str
    photograph: str
    category: str | None
    split: str


@dataclass(frozen=True)
class Measured:
    """A foreground that is fit, with what others need to take its colours."""

    foreground: Foreground
    statistics: ColorStatistics


@dataclass(frozen=True)
class Folders:
    """Where photographs and masks lie, and how they are read.

    Attributes:
        longest_side: pixels; larger pictures are shrunk. None: never.
        foreground_ratio: least and largest share of the picture's area that a foreground may have.
    """

    photos: Location
    masks: Location
    longest_side: int | None = None
    foreground_ratio: tuple[float, float] = (0.01, 0.8)

    def read(self, foreground: Foreground) -> tuple[UInt8Array, UInt8Array, str | None]:
        """Photograph [H,W,3] uint8 upright, mask [H,W] uint8 of 0 and 1, and what is odd about the mask.

        Raises:
            DataError: one of them is gone, broken or does not fit the other, or the foreground's share of
                the picture is outside `foreground_ratio`.
            StorageError: the store does not answer.
        """
        image = decode_rgb(_fetch(self.photos / foreground.photo), upright=True)
        mask, warning = decode_user_mask(_fetch(self.masks / foreground.mask))
        if mask.shape != image.shape[:2]:
            raise DataError(
                f"(height, width) of the mask is {mask.shape}, that of {foreground.photo} {image.shape[:2]}"
            )
        image, mask = self._shrunk(image, mask)
        low, high = self.foreground_ratio
        if not low <= mask.mean() <= high:
            raise DataError(
                f"foreground ratio: {mask.mean():.4f} of the picture, expected {low:g} to {high:g}"
            )
        return image, mask, warning

    def _shrunk(self, image: UInt8Array, mask: MaskArray) -> tuple[UInt8Array, MaskArray]:
        scale = 1.0 if self.longest_side is None else self.longest_side / max(mask.shape)
        if scale >= 1:
            return image, mask
        height, width = (max(1, round(side * scale)) for side in mask.shape)
        smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        smaller_mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
        return smaller.astype(np.uint8, copy=False), smaller_mask.astype(np.uint8, copy=False)


def find(
    photos: Sequence[str], masks: Sequence[str], categories: Categories, test_fraction: float, seed: int
) -> tuple[list[Foreground], list[Rejection]]:
    """One foreground for each mask, by the names alone, in the masks' order.

    Args:
        photos, masks: paths beneath their folders; what is no picture by its suffix is passed over.
        categories: by the mask's path or else the photograph's.
        test_fraction: of the photographs (those with masks) that go to the test split; drawn by the seed.

    Returns:
        The foregrounds, and the masks that have no photograph.

    Raises:
        DataError: two photographs have one name, or the categories name none of the files.
    """
    by_name = _photos_by_name(photos)
    found: list[tuple[str, str, str]] = []  # photograph's path, mask's path, mask's number
    rejected = []
    for mask in masks:
        if not mask.lower().endswith(_MASK_SUFFIX):
            continue
        name, number = _matching(mask, by_name)
        if name in by_name:
            found.append((by_name[name], mask, number))
        else:
            expected = f"expected {name}.jpg among the photographs"
            rejected.append(Rejection(mask, mask, f"no photograph: {expected}"))
    categories.check_used([path for photo, mask, _ in found for path in (mask, photo)])
    test = _test_photographs({photo for photo, _, _ in found}, test_fraction, seed)
    foregrounds = [
        Foreground(
            name=f"{_flat(photo)}_{number}",
            photo=photo,
            mask=mask,
            photograph=photo,
            category=categories.of(mask) or categories.of(photo),
            split=TEST if photo in test else TRAIN,
        )
        for photo, mask, number in found
    ]
    return foregrounds, rejected


def measure(
    folders: Folders, foregrounds: Sequence[Foreground]
) -> tuple[list[Measured], list[Rejection], list[str]]:
    """Reads foregrounds and measures the colours of those that are fit.

    Returns:
        Those, the others, and what is odd about some masks though they are taken.

    Raises:
        StorageError: the store does not answer.
    """
    measured, rejected, warnings = [], [], []
    for foreground in foregrounds:
        try:
            image, mask, warning = folders.read(foreground)
        except DataError as error:
            rejected.append(Rejection(foreground.name, foreground.mask, str(error)))
            continue
        measured.append(Measured(foreground, ColorStatistics.of(foreground_colors(image, mask))))
        if warning:
            warnings.append(f"{foreground.mask}: {warning}")
    return measured, rejected, warnings


def _fetch(place: Location) -> bytes:
    try:
        return place.read_bytes()
    except MissingError as error:
        raise DataError(f"missing: {place}") from error


def _stem(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def _flat(path: str) -> str:
    """A name for a flat folder; `/` and what separates names and numbers there become hyphens."""
    return _stem(path).replace("/", "-")


def _photos_by_name(photos: Sequence[str]) -> dict[str, str]:
    by_name: dict[str, str] = {}
    flat: dict[str, str] = {}
    for photo in photos:
        if PurePosixPath(photo).suffix.lower() not in _PHOTO_SUFFIXES:
            continue
        first = flat.setdefault(_flat(photo), photo)
        if first is not photo:
            raise DataError(
                f"the photographs {first} and {photo} have one name; expected names that differ in more than "
                "the suffix, so that masks and composites can be told apart"
            )
        by_name[_stem(photo)] = photo
    return by_name


def _matching(mask: str, by_name: dict[str, str]) -> tuple[str, str]:
    """(photograph's name, number) of a mask; a mask that is named as a photograph is number 0 of it."""
    stem = _stem(mask)
    name, _, number = stem.rpartition("_")
    return (stem, "0") if stem in by_name or not (name and number.isdecimal()) else (name, number)


def _test_photographs(photographs: set[str], fraction: float, seed: int) -> set[str]:
    """A share of the photographs, drawn by the seed: one of them at least, and never all."""
    count = max(round(fraction * len(photographs)), 1 if fraction else 0)
    drawn = sorted(photographs, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    return set(drawn[: min(count, len(drawn) - 1)])
