"""Regions found in photographs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipelines.compositing.foregrounds import SplitFractions, find
from pipelines.compositing.regions import FOREGROUND_RATIO, check_installed, mask_paths, regions
from pipelines.conversion.lists import Categories


def scene(height: int, width: int) -> np.ndarray:
    """Draw a red disc before a landscape of two even colours with some texture."""
    rng = np.random.default_rng(0)
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2] = (90, 140, 220)
    image[height // 2 :] = (70, 120, 60)
    cv2.circle(image, (width // 2, height // 2), height // 4, (200, 40, 40), -1)
    return (image + rng.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(120, 160), (600, 800)])
def test_an_object_is_found_at_the_photographs_own_size(size: tuple[int, int]) -> None:
    height, width = size
    masks = regions(scene(height, width))
    assert 1 <= len(masks) <= 3
    disc = np.zeros(size, np.uint8)
    cv2.circle(disc, (width // 2, height // 2), height // 4, 1, -1)
    overlaps = [(mask & disc).sum() / (mask | disc).sum() for mask in masks]
    assert max(overlaps) > 0.85
    for mask in masks:
        assert mask.shape == size
        assert set(np.unique(mask)) == {0, 1}
        assert 0.9 * FOREGROUND_RATIO[0] < mask.mean() < 1.1 * FOREGROUND_RATIO[1]
    for mask, again in zip(masks, regions(scene(height, width)), strict=True):
        assert np.array_equal(mask, again)


def test_an_even_picture_has_no_region() -> None:
    assert regions(np.full((90, 120, 3), 128, np.uint8)) == []


def test_masks_have_names_that_are_no_other_photographs() -> None:
    photos = ["street/a.jpg", "street/a_1.jpg", "street/a_3.png"]
    stems = {photo.rpartition(".")[0] for photo in photos}
    paths = {photo: mask_paths(photo, stems) for photo in photos}
    assert paths["street/a.jpg"] == ["street/a_2.png", "street/a_4.png", "street/a_5.png"]
    masks = [path for of_photo in paths.values() for path in of_photo]
    foregrounds, rejected = find(photos, masks, Categories(), SplitFractions(0.0, 0.0), seed=0)
    assert rejected == []
    assert {(entry.photo, entry.mask) for entry in foregrounds} == {
        (photo, mask) for photo, of_photo in paths.items() for mask in of_photo
    }


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr("pipelines.compositing.regions.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--masks auto needs scikit-image.*charmnet\[render\]"):
        check_installed()
