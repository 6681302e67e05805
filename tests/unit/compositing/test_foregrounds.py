"""Finding foregrounds by name, and the rules by which composites are taken."""

from __future__ import annotations

import numpy as np
import pytest

from charmnet.errors import DataError
from pipelines.compositing.acceptance import reason_by_colors, reason_by_grain, reason_by_means
from pipelines.compositing.foregrounds import find
from pipelines.conversion.lists import Categories

PHOTOS = ["a.jpg", "a_1.PNG", "street/b.jpeg", "notes.txt"]


def names(masks: list[str], **more) -> dict[str, tuple[str, str]]:
    found, _ = find(PHOTOS, masks, more.pop("categories", Categories()), test_fraction=0.0, seed=0)
    return {foreground.mask: (foreground.name, foreground.photo) for foreground in found}


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
    found, rejected = find(PHOTOS, ["b.png", "c_x.png"], Categories(), 0.2, 0)
    assert not found
    assert [(entry.file, entry.reason) for entry in rejected] == [
        ("b.png", "no photograph: expected b.jpg among the photographs"),
        ("c_x.png", "no photograph: expected c_x.jpg among the photographs"),
    ]


def test_photographs_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match=r"a\.jpg and a\.png have one name"):
        find(["a.jpg", "a.png"], ["a.png"], Categories(), 0.2, 0)


def test_categories_go_by_mask_then_by_photograph() -> None:
    table = Categories(table={"a.jpg": "cat", "a_2.png": "dog"})
    found, _ = find(PHOTOS, ["a.png", "a_2.png", "street/b.png"], table, 0.0, 0)
    assert [foreground.category for foreground in found] == ["cat", "dog", None]
    with pytest.raises(DataError, match="none of its 1 paths"):
        find(PHOTOS, ["a.png"], Categories(table={"z.jpg": "cat"}), 0.0, 0)


@pytest.mark.parametrize(
    ("fraction", "count", "expected"), [(0.0, 9, 0), (0.2, 10, 2), (0.01, 9, 1), (0.99, 4, 3), (0.5, 1, 0)]
)
def test_the_test_split_is_a_share_of_the_photographs(fraction: float, count: int, expected: int) -> None:
    photos = [f"{number}.jpg" for number in range(count)]
    masks = [f"{number}_{mask}.png" for number in range(count) for mask in (1, 2)]
    found, _ = find(photos, masks, Categories(), fraction, seed=3)
    test = {foreground.photo for foreground in found if foreground.split == "test"}
    assert len(test) == expected
    assert not test & {foreground.photo for foreground in found if foreground.split == "train"}
    again, _ = find(photos[::-1], masks, Categories(), fraction, seed=3)
    assert again == found


def test_every_rule_refuses_what_it_is_for() -> None:
    rng = np.random.default_rng(0)
    base = np.array([0.55, 0.4, 0.3]) + rng.normal(0, 0.08, (500, 1)) + rng.normal(0, 0.01, (500, 3))
    mean = base.mean(axis=0)
    assert reason_by_colors(base, base * [1.1, 0.95, 0.8]) is None
    assert reason_by_colors(base, base + 0.01) == "recolouring too weak"
    assert reason_by_colors(base, base + 0.3) == "recolouring too strong"
    assert reason_by_colors(base, base + 0.05 + 0.6 * (rng.random((500, 1)) < 0.1)) == "clipped colours"
    assert reason_by_colors(base, mean + 0.3 * (base - mean)) == "contrast changed too much"
    assert reason_by_colors(base, base * [1.1, 0.95, 0.4]) == "strong cast"
    pale = base - mean + [0.5, 0.48, 0.5]
    assert reason_by_colors(pale, pale[:, [1, 0, 2]] * [0.9, 1.05, 0.9]) == "turned hues"
    assert reason_by_means(mean, mean + 0.3) == "recolouring too strong"
    assert reason_by_means(mean, mean + 0.1) is None


def test_noise_that_is_pulled_up_is_refused() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(128, 3, (40, 40, 3)).astype(np.uint8)
    mask = np.ones((40, 40), np.uint8)
    noisy = rng.normal(128, 9, (40, 40, 3)).astype(np.uint8)
    assert reason_by_grain(image, noisy, mask) == "grainy"
    assert reason_by_grain(image, image, mask) is None
    assert reason_by_grain(image, noisy, np.eye(40, dtype=np.uint8)) is None  # no two neighbours
