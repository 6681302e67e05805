"""Matching masks with photographs by name, categories and splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from charmnet.codecs import decode_rgb, encode_png
from charmnet.errors import DataError
from charmnet.jpeg import without_metadata
from pipelines.compositing.foregrounds import Folders, Foreground, SplitFractions, find, measure
from pipelines.conversion.lists import Categories
from pipelines.runtime.storage import Location

NO_SPLIT = SplitFractions(0.0, 0.0)
PHOTOS = ["a.jpg", "a_1.PNG", "street/b.jpeg", "notes.txt"]


def names(masks: list[str], **more: Any) -> dict[str, tuple[str, str]]:
    foregrounds, _ = find(PHOTOS, masks, more.pop("categories", Categories()), NO_SPLIT, seed=0)
    return {foreground.mask: (foreground.name, foreground.photo) for foreground in foregrounds}


def test_masks_belong_to_the_photographs_whose_names_they_begin_with() -> None:
    masks = ["a.png", "a_2.png", "a_1.png", "a_1_12.png", "street/b_1.png", "a_3.jpg"]
    assert names(masks) == {
        "a.png": ("a_0", "a.jpg"),
        "a_2.png": ("a_2", "a.jpg"),
        "a_1.png": ("a_1_0", "a_1.PNG"),  # the photograph of that name, not a mask of a.jpg
        "a_1_12.png": ("a_1_12", "a_1.PNG"),
        "street/b_1.png": ("street-b_1", "street/b.jpeg"),
    }


def test_masks_without_a_photograph_are_rejected() -> None:
    foregrounds, rejected = find(PHOTOS, ["b.png", "c_x.png"], Categories(), NO_SPLIT, 0)
    assert not foregrounds
    assert [(entry.file, entry.reason) for entry in rejected] == [
        ("b.png", "no photograph: expected b.jpg among the photographs"),
        ("c_x.png", "no photograph: expected c_x.jpg among the photographs"),
    ]


def test_the_second_mask_of_one_number_is_rejected() -> None:
    foregrounds, rejected = find(PHOTOS, ["a.png", "a_0.png", "a_2.png"], Categories(), NO_SPLIT, 0)
    assert [foreground.mask for foreground in foregrounds] == ["a.png", "a_2.png"]
    assert [(entry.file, entry.reason) for entry in rejected] == [
        ("a_0.png", "a.png is mask 0 of a.jpg already")
    ]


def test_photographs_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match=r"a\.jpg and a\.png have one name"):
        find(["a.jpg", "a.png"], ["a.png"], Categories(), NO_SPLIT, 0)


def test_categories_go_by_mask_then_by_photograph() -> None:
    table = Categories(table={"a.jpg": "cat", "a_2.png": "dog"})
    foregrounds, _ = find(PHOTOS, ["a.png", "a_2.png", "street/b.png"], table, NO_SPLIT, 0)
    assert [foreground.category for foreground in foregrounds] == ["cat", "dog", None]
    with pytest.raises(DataError, match="none of its 1 paths"):
        find(PHOTOS, ["a.png"], Categories(table={"z.jpg": "cat"}), NO_SPLIT, 0)


@pytest.mark.parametrize(
    ("fraction", "count", "expected"), [(0.0, 9, 0), (0.2, 10, 2), (0.01, 9, 1), (0.99, 4, 3), (0.5, 1, 0)]
)
def test_the_test_split_is_a_share_of_the_photographs(fraction: float, count: int, expected: int) -> None:
    photos = [f"{number}.jpg" for number in range(count)]
    masks = [f"{number}_{mask}.png" for number in range(count) for mask in (1, 2)]
    foregrounds, _ = find(photos, masks, Categories(), SplitFractions(0.0, fraction), seed=3)
    test = {foreground.photo for foreground in foregrounds if foreground.split == "test"}
    assert len(test) == expected
    assert not test & {foreground.photo for foreground in foregrounds if foreground.split == "train"}
    three, _ = find(photos, masks, Categories(), SplitFractions(0.3, fraction), seed=3)
    assert test == {foreground.photo for foreground in three if foreground.split == "test"}
    validation = {foreground.photo for foreground in three if foreground.split == "validation"}
    assert len(validation) == min(max(round(0.3 * count), 1), count - 1 - expected)
    assert not validation & {foreground.photo for foreground in three if foreground.split != "validation"}
    again, _ = find(photos[::-1], masks, Categories(), SplitFractions(0.0, fraction), seed=3)
    assert again == foregrounds


def test_views_of_a_photograph_are_in_one_split() -> None:
    photos = [f"{folder}/p{number}-{view}.jpg" for folder in "ab" for number in range(8) for view in range(3)]
    masks = [photo.replace(".jpg", f"_{number}.png") for photo in photos for number in (1, 2)]
    fractions = SplitFractions(0.2, 0.3)
    foregrounds, rejected = find(photos, masks, Categories(), fractions, seed=0, views=True)
    assert rejected == []
    assert len({foreground.photograph for foreground in foregrounds}) == 16
    splits: dict[str, set[str]] = {}
    for foreground in foregrounds:
        assert foreground.photo.startswith(f"{foreground.photograph}-")
        splits.setdefault(foreground.photograph, set()).add(foreground.split)
    assert all(len(of_one) == 1 for of_one in splits.values())
    counts = Counter(split for of_one in splits.values() for split in of_one)
    assert counts == {"train": 8, "validation": 3, "test": 5}
    apart, _ = find(photos, masks, Categories(), fractions, seed=0)
    assert len({foreground.photograph for foreground in apart}) == len(photos)


def test_foregrounds_without_categories_are_grouped_by_color(tmp_path: Path) -> None:
    photos, masks = (Location.of(tmp_path / name) for name in ("photos", "masks"))
    colors = {"sky": (110, 160, 220), "stone": (120, 122, 120)}
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    for name, color in colors.items():
        (photos / f"{name}.png").write_bytes(encode_png(np.full((32, 32, 3), color, np.uint8)))
        (masks / f"{name}.png").write_bytes(encode_png(mask))
    foregrounds, _ = find(photos.walk_files(), masks.walk_files(), Categories(), SplitFractions(0, 0), seed=0)
    measured, *_ = measure(Folders(photos, masks, group_by_color=True), foregrounds)
    assert [entry.foreground.category for entry in measured] == ["light blue", "grey"]
    measured, *_ = measure(Folders(photos, masks), foregrounds)
    assert [entry.foreground.category for entry in measured] == [None, None]


def test_a_broken_photograph_is_not_taken_for_a_broken_mask(tmp_path: Path) -> None:
    mask = encode_png(np.full((8, 8), 255, np.uint8))
    (tmp_path / "cut.jpg").write_bytes(b"GIF89a")
    (tmp_path / "cut.png").write_bytes(mask)
    (tmp_path / "whole.bmp").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    (tmp_path / "whole.png").write_bytes(mask[:40])
    foregrounds, _ = find(["cut.jpg", "whole.bmp"], ["cut.png", "whole.png"], Categories(), NO_SPLIT, seed=0)
    _, rejected, _ = measure(Folders(Location.of(tmp_path), Location.of(tmp_path)), foregrounds)
    assert [rejection.reason.startswith("the photograph cut.jpg: ") for rejection in rejected] == [
        True,
        False,
    ]


def test_photographs_are_stored_as_they_are_but_for_their_metadata(tmp_path: Path) -> None:
    folders = Folders(Location.of(tmp_path), Location.of(tmp_path), longest_side=64)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    stored = {}
    for name, orientation, side in (("plain", 1, 60), ("turned", 6, 60), ("large", 1, 90)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010E] = "my garden"
        picture = Image.fromarray(pixels).resize((side, 48))
        picture.save(tmp_path / f"{name}.jpg", exif=exif, quality=90)
        height, width = (side, 48) if orientation == 6 else (48, side)
        mask = np.zeros((height, width), np.uint8)
        mask[8:30, 8:30] = 255
        (tmp_path / f"{name}.png").write_bytes(encode_png(mask))
        foreground = Foreground(name, f"{name}.jpg", f"{name}.png", name, None, "train")
        image, _, _ = folders.read(foreground)
        stored[name] = folders.stored_photograph(foreground, image)
        assert b"my garden" in (tmp_path / f"{name}.jpg").read_bytes()
        assert b"my garden" not in stored[name]
        assert decode_rgb(stored[name]).shape == image.shape
    assert stored["plain"] == without_metadata((tmp_path / "plain.jpg").read_bytes())
    assert decode_rgb(stored["turned"]).shape == (60, 48, 3)
    assert decode_rgb(stored["large"]).shape == (34, 64, 3)
