"""Foregrounds of a folder of photographs and a folder of masks: found by name, read, and measured.

The masks of the photograph `NAME.jpg` are `NAME.png` or, for several, `NAME_1.png`, `NAME_2.png`, ...; masks
lie in sub-folders of the same names as the photographs do. Grey values of 128 and above are foreground.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import cv2
import numpy as np

from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_rgb, decode_user_mask, encode_jpeg, transparent_pixels
from charmnet.color_groups import color_group
from charmnet.drawn_recoloring import color_palette
from charmnet.errors import DataError
from charmnet.image_limits import image_size
from charmnet.jpeg import is_jpeg, without_metadata
from charmnet.orientation import check_mask_orientation
from charmnet.recoloring import ColorStatistics, foreground_colors
from pipelines.conversion.lists import Categories
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import MissingError
from pipelines.shards.foreground_colors import TRAIN
from pipelines.shards.rejection import Rejection

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MASK_SUFFIX = ".png"
VALIDATION, TEST = "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class Foreground:
    """One mask with its photograph.

    Attributes:
        name: name of the mask in a released layout, `<image>_<mask>`.
        photo: path of the photograph's file beneath the folder of photographs.
        mask: path of the mask's file beneath the folder of masks.
        photograph: identity of the photograph; colours are taken from another one.
        category: category of the foreground; None is a category, too.
        split: train, validation or test, the same for all foregrounds of a photograph.
    """

    name: str
    photo: str
    mask: str
    photograph: str
    category: str | None
    split: str


@dataclass(frozen=True)
class MeasuredForeground:
    """A usable foreground with its colours, which other foregrounds take.

    Attributes:
        foreground: the foreground.
        statistics: statistics of its colours.
        palette: see `charmnet.drawn_recoloring.color_palette`.
    """

    foreground: Foreground
    statistics: ColorStatistics
    palette: UInt8Array


@dataclass(frozen=True)
class SplitFractions:
    """Shares of the photographs that are not trained on, 0 to 1.

    Attributes:
        validation: share of the split that chooses among models.
        test: share of the split that is reported on.
        least_trained: photographs that stay for training however few there are.
    """

    validation: float
    test: float
    least_trained: int = 1


@dataclass(frozen=True)
class Folders:
    """The folders of photographs and masks, and the way they are read.

    Attributes:
        photos: folder of the photographs.
        masks: folder of the masks.
        longest_side: pixels; larger pictures are shrunk to it. None: pictures keep their size.
        foreground_ratio: least and greatest share of the picture's area that a foreground may have.
        group_by_color: whether the category of a foreground is its `charmnet.color_groups.color_group`.
        masks_are_given: whether masks are a user's, and not found on the upright photographs.
    """

    photos: Location
    masks: Location
    longest_side: int | None = None
    foreground_ratio: tuple[float, float] = (0.01, 0.8)
    group_by_color: bool = False
    masks_are_given: bool = True

    def read(self, foreground: Foreground) -> tuple[UInt8Array, UInt8Array, str | None]:
        """Read a foreground's photograph and mask.

        Returns:
            The photograph, [H,W,3] uint8, upright; its mask, [H,W] uint8 of 0 and 1; and a warning about the
            two or None.

        Raises:
            DataError: a file is missing or broken, the mask has another size than the photograph, or the
                foreground's share of the picture is outside `foreground_ratio`.
            StorageError: the store cannot be reached.
        """
        photo_data, mask_data = _fetch(self.photos / foreground.photo), _fetch(self.masks / foreground.mask)
        try:
            image = decode_rgb(photo_data, upright=True)
        except DataError as error:  # a rejection is about the mask unless it says otherwise
            raise DataError(f"the photograph {foreground.photo}: {error}") from error
        mask, warning = decode_user_mask(mask_data)
        if self.masks_are_given:
            check_mask_orientation(photo_data, mask_data)
        if transparent_pixels(photo_data):
            dropped = f"the transparency of {foreground.photo} is dropped"
            warning = f"{warning}; {dropped}" if warning else dropped
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

    def stored_photograph(self, foreground: Foreground, image: UInt8Array) -> bytes:
        """Return a photograph as a data set keeps it: its file where that is a JPEG of just these pixels.

        Metadata, such as the place where it was taken, are left out.

        Args:
            foreground: a foreground of it.
            image: the photograph as `read` gave it.

        Raises:
            DataError: the file is gone.
            StorageError: the store cannot be reached.
        """
        data = _fetch(self.photos / foreground.photo)
        plain = without_metadata(data) if is_jpeg(data) and image_size(data) == image.shape[:2] else None
        if plain is not None and np.array_equal(decode_rgb(plain), image):
            return plain
        return encode_jpeg(image)

    def _shrunk(self, image: UInt8Array, mask: MaskArray) -> tuple[UInt8Array, MaskArray]:
        scale = 1.0 if self.longest_side is None else self.longest_side / max(mask.shape)
        if scale >= 1:
            return image, mask
        height, width = (max(1, round(side * scale)) for side in mask.shape)
        smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        smaller_mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
        return smaller.astype(np.uint8, copy=False), smaller_mask.astype(np.uint8, copy=False)


def is_photograph(path: str) -> bool:
    """Return whether a file is taken for a photograph, by its suffix."""
    return PurePosixPath(path).suffix.lower() in PHOTO_SUFFIXES


def find(
    photos: Sequence[str],
    masks: Sequence[str],
    categories: Categories,
    fractions: SplitFractions,
    seed: int,
    *,
    views: bool = False,
) -> tuple[list[Foreground], list[Rejection]]:
    """Match masks with photographs by name, in the masks' order.

    Args:
        photos: paths beneath the folder of photographs; files of other suffixes than pictures' are skipped.
        masks: paths beneath the folder of masks; files that are not PNG are skipped.
        categories: categories by the mask's path or else by the photograph's.
        fractions: shares of the photographs with masks that go to the validation and test splits.
        seed: seed that draws those photographs.
        views: take files whose names differ in nothing but a number after their last hyphen for one
            photograph.

    Returns:
        One foreground for each mask that has a photograph, and a rejection for each other mask and for the
        second of two that are one mask of a photograph (`NAME.png` and `NAME_0.png`).

    Raises:
        DataError: two photographs have one name, or the categories name none of the files.
    """
    matches, rejected = _matches(photos, masks)
    categories.check_used([path for photo, mask, _ in matches for path in (mask, photo)])
    photograph_of = {photo: _without_view(photo) if views else photo for photo, _, _ in matches}
    held_out = _held_out(set(photograph_of.values()), fractions, seed)
    foregrounds = [
        Foreground(
            name=f"{_flat(photo)}_{number}",
            photo=photo,
            mask=mask,
            photograph=photograph_of[photo],
            category=categories.of(mask) or categories.of(photo),
            split=held_out.get(photograph_of[photo], TRAIN),
        )
        for photo, mask, number in matches
    ]
    return foregrounds, rejected


def measure(
    folders: Folders, foregrounds: Sequence[Foreground]
) -> tuple[list[MeasuredForeground], list[Rejection], list[str]]:
    """Read foregrounds and measure their colours.

    Returns:
        The usable foregrounds, a rejection for each other one, and warnings about masks that are used
        nevertheless.

    Raises:
        StorageError: the store cannot be reached.
    """
    measured: list[MeasuredForeground] = []
    rejected: list[Rejection] = []
    warnings: list[str] = []
    for foreground in foregrounds:
        try:
            image, mask, warning = folders.read(foreground)
        except DataError as error:
            rejected.append(Rejection(foreground.name, foreground.mask, str(error)))
            continue
        statistics = ColorStatistics.of(foreground_colors(image, mask))
        grouped = replace(foreground, category=color_group(statistics.lab_mean))
        entry = grouped if folders.group_by_color else foreground
        measured.append(MeasuredForeground(entry, statistics, color_palette(image[mask != 0])))
        if warning:
            warnings.append(f"{foreground.mask}: {warning}")
    return measured, rejected, warnings


def _fetch(file: Location) -> bytes:
    try:
        return file.read_bytes()
    except MissingError as error:
        raise DataError(f"missing: {file}") from error


def _stem(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def _without_view(path: str) -> str:
    """Return a photograph's name, of which the file NAME-3.jpg is a view."""
    return re.sub(r"-\d+$", "", _stem(path))


def _flat(path: str) -> str:
    """Return a path's name for a flat folder: without its suffix, with hyphens in place of `/`."""
    return _stem(path).replace("/", "-")


def _photos_by_name(photos: Sequence[str]) -> dict[str, str]:
    by_name: dict[str, str] = {}
    by_flat_name: dict[str, str] = {}
    for photo in photos:
        if not is_photograph(photo):
            continue
        first = by_flat_name.setdefault(_flat(photo), photo)
        if first is not photo:
            raise DataError(
                f"the photographs {first} and {photo} have one name; expected names that differ in more than "
                "the suffix, so that masks and composites can be told apart"
            )
        by_name[_stem(photo)] = photo
    return by_name


def _matches(
    photos: Sequence[str], masks: Sequence[str]
) -> tuple[list[tuple[str, str, str]], list[Rejection]]:
    """Return (photograph's path, mask's path, mask's number) of each mask, and the masks without any."""
    by_name = _photos_by_name(photos)
    matches: list[tuple[str, str, str]] = []
    mask_of: dict[tuple[str, str], str] = {}
    rejected = []
    for mask in masks:
        if not mask.lower().endswith(MASK_SUFFIX):
            continue
        name, number = _matching(mask, by_name)
        if name not in by_name:
            expected = f"expected {name}.jpg among the photographs"
            rejected.append(Rejection(mask, mask, f"no photograph: {expected}"))
            continue
        photo = by_name[name]
        first = mask_of.setdefault((photo, number), mask)
        if first is mask:
            matches.append((photo, mask, number))
        else:
            reason = f"{first} is mask {number} of {photo} already"
            rejected.append(Rejection(mask, mask, reason))
    return matches, rejected


def _matching(mask: str, by_name: dict[str, str]) -> tuple[str, str]:
    """Return a mask's photograph's name and its number; a mask of just the photograph's name is number 0."""
    stem = _stem(mask)
    name, _, number = stem.rpartition("_")
    return (stem, "0") if stem in by_name or not (name and number.isdecimal()) else (name, number)


def _held_out(photographs: set[str], fractions: SplitFractions, seed: int) -> dict[str, str]:
    """Draw the photographs of validation and test: of each one or more if its share is above 0, never all.

    They are the first ones in an order by the seed, test before validation, so that the share of validation
    does not change which photographs test has.
    """
    drawn = sorted(photographs, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    splits: list[str] = []
    for split, fraction in ((TEST, fractions.test), (VALIDATION, fractions.validation)):
        splits += [split] * max(round(fraction * len(drawn)), 1 if fraction else 0)
    return dict(zip(drawn[: -fractions.least_trained], splits, strict=False))
