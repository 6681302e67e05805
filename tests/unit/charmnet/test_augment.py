"""Random crops and flips: their ranges, the rule about foreground, and reduced pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from charmnet.augment import (
    Augmentation,
    AugmentationKind,
    ResizedCrop,
    apply,
    draw_augmentation,
    resize,
)

PHOTOGRAPH = data.astronaut()[:300, :400]


def mask_of(height: int, width: int, *box: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    top, left, bottom, right = box or (0, 0, height, width)
    mask[top:bottom, left:right] = 1
    return mask


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32))
def test_crops_lie_within_the_picture_and_keep_the_released_ranges(
    height: int, width: int, seed: int
) -> None:
    a = draw_augmentation(np.random.default_rng(seed), mask_of(height, width), size=8)
    assert 0 <= a.top <= a.top + a.height <= height
    assert 0 <= a.left <= a.left + a.width <= width
    assert min(a.height, a.width) >= 1
    if min(height, width) > 100 and 3 / 4 <= width / height <= 4 / 3:
        assert 0.74 < a.width / a.height < 1.35
        assert a.height * a.width > 0.49 * height * width


def test_draws_cover_scale_ratio_and_flip() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_augmentation(rng, mask_of(400, 400), size=8) for _ in range(2000)]
    area = np.array([a.height * a.width for a in draws]) / 400**2
    ratio = np.log([a.width / a.height for a in draws])
    assert area.min() < 0.51
    assert area.max() > 0.97
    assert abs(ratio.mean()) < 0.02  # symmetric in the logarithm
    assert 0.47 < np.mean([a.flip for a in draws]) < 0.53


def test_a_panorama_falls_back_to_its_centre() -> None:
    a = draw_augmentation(np.random.default_rng(1), mask_of(100, 1000))
    assert (a.top, a.left, a.height, a.width) == (0, 433, 100, 133)


def test_the_same_seed_gives_the_same_draw() -> None:
    mask = mask_of(300, 400, 10, 10, 60, 60)
    first, again, other = (draw_augmentation(np.random.default_rng(seed), mask) for seed in (5, 5, 6))
    assert first == again != other


def test_crops_without_foreground_are_accepted_only_now_and_then() -> None:
    mask = mask_of(400, 400, 0, 0, 12, 12)  # a corner that most crops miss
    rng = np.random.default_rng(2)
    empty = [apply(draw_augmentation(rng, mask), mask).sum() <= 1 for _ in range(1000)]
    # A crop misses the corner nine times in ten; accepting 5 % of those gives about one in three.
    assert 0.15 < np.mean(empty) < 0.45


def test_an_empty_mask_ends() -> None:
    mask = np.zeros((50, 60), np.uint8)

    class NeverAccepts(np.random.Generator):
        def random(self, *args: object, **kwargs: object) -> float:
            return 0.99

    assert draw_augmentation(np.random.default_rng(0), mask).height <= 50
    assert draw_augmentation(NeverAccepts(np.random.PCG64(0)), mask, size=8).height <= 50


@pytest.mark.parametrize("flip", [False, True])
def test_apply_is_crop_then_bilinear_resize_then_mirror(flip: bool) -> None:
    a = Augmentation(top=20, left=30, height=200, width=260, flip=flip)
    expected = cv2.resize(PHOTOGRAPH[20:220, 30:290], (256, 256), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(apply(a, PHOTOGRAPH), expected[:, ::-1] if flip else expected)


@given(st.integers(300, 2000), st.integers(300, 2000), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_reduced_crop_is_the_same_to_half_a_pixel_and_still_large_enough(
    height: int, width: int, seed: int
) -> None:
    a = draw_augmentation(np.random.default_rng(seed), mask_of(height, width), size=100)
    r = a.reduction(100)
    assert r == 8 or min(a.height, a.width) < 2 * r * 100
    reduced = a.reduced(r, -(-height // r), -(-width // r))
    assert min(reduced.height, reduced.width) >= 100 - (r > 1)
    assert reduced.crop(np.empty((-(-height // r), -(-width // r)))).shape == (reduced.height, reduced.width)
    back = reduced.enlarged(r)
    for edge, drawn_edge in zip(
        (back.top, back.left, back.top + back.height, back.left + back.width),
        (a.top, a.left, a.top + a.height, a.left + a.width),
        strict=True,
    ):
        assert abs(edge - drawn_edge) <= r / 2 + (r - 1) / 2


def test_masks_stay_binary_and_aligned_with_the_picture() -> None:
    mask = (PHOTOGRAPH[..., 0] > 120).astype(np.uint8)
    a = Augmentation(10, 10, 250, 300, flip=True)
    resized = apply(a, mask)
    assert set(np.unique(resized)) == {0, 1}
    smooth = apply(a, mask * 255)
    assert resized[smooth > 250].all()
    assert not resized[smooth < 125].any()


def test_resize_keeps_a_picture_of_the_right_size() -> None:
    square = PHOTOGRAPH[:256, :256]
    assert np.array_equal(resize(square), square)
    assert resize(PHOTOGRAPH, 64).shape == (64, 64, 3)


def test_the_default_kind_is_the_released_crop_and_flip() -> None:
    mask = mask_of(300, 400, 10, 10, 60, 60)
    default, named = (
        draw_augmentation(np.random.default_rng(4), mask, 64, *kind) for kind in ((), ("crop_flip",))
    )
    assert default == named
    assert default.resized_crop is None


@pytest.mark.parametrize("kind", ["flip", "none", "resize_crop"])
def test_other_kinds_take_the_whole_picture_and_mirror_half_of_them(kind: AugmentationKind) -> None:
    mask = mask_of(300, 400, 10, 10, 60, 60)
    draws = [draw_augmentation(np.random.default_rng(seed), mask, 64, kind) for seed in range(400)]
    assert {(a.top, a.left, a.height, a.width) for a in draws} == {(0, 0, 300, 400)}
    flipped = np.mean([a.flip for a in draws])
    assert flipped == 0 if kind == "none" else 0.4 < flipped < 0.6
    assert draws[7] == draw_augmentation(np.random.default_rng(7), mask, 64, kind)


def test_without_augmentation_a_picture_is_resized_as_in_evaluation() -> None:
    whole = draw_augmentation(np.random.default_rng(0), mask_of(300, 400), 64, "none")
    assert np.array_equal(apply(whole, PHOTOGRAPH, 64), resize(PHOTOGRAPH, 64))


def test_resize_crop_cuts_every_square_of_the_enlarged_picture() -> None:
    mask = mask_of(300, 400)
    draws = [draw_augmentation(np.random.default_rng(seed), mask, 256, "resize_crop") for seed in range(400)]
    corners = [(a.resized_crop.top, a.resized_crop.left) for a in draws if a.resized_crop]
    assert {a.resized_crop.side for a in draws if a.resized_crop} == {286}
    assert len(corners) == 400
    assert (np.min(corners), np.max(corners)) == (0, 30)
    a = Augmentation(0, 0, 300, 400, True, ResizedCrop(286, 4, 9))
    large = np.asarray(Image.fromarray(PHOTOGRAPH).resize((286, 286), Image.Resampling.BICUBIC))
    assert np.array_equal(apply(a, PHOTOGRAPH, 256), large[4:260, 9:265][:, ::-1])


def test_resize_crop_keeps_pixels_enough_of_a_reduced_picture() -> None:
    a = draw_augmentation(np.random.default_rng(0), mask_of(572, 600), 256, "resize_crop")
    assert a.reduction(256) == 2
    assert (
        draw_augmentation(np.random.default_rng(0), mask_of(570, 600), 256, "resize_crop").reduction(256) == 1
    )
    assert a.reduced(2, 286, 300).resized_crop == a.resized_crop


@pytest.mark.parametrize("kind", ["crop_flip", "flip", "none", "resize_crop"])
def test_hard_masks_stay_binary_and_soft_ones_hold_coverage(kind: AugmentationKind) -> None:
    mask = mask_of(300, 400, 40, 50, 230, 333)
    a = draw_augmentation(np.random.default_rng(3), mask, 64, kind)
    hard, soft = apply(a, mask, 64), apply(a, mask * np.uint8(255), 64)
    assert set(np.unique(hard)) == {0, 1}
    assert len(np.unique(soft)) > 2
    assert hard[soft > 250].all()
    assert not hard[soft < 125].any()


def test_pictures_that_grow_are_interpolated() -> None:
    ramp = np.tile(np.array([0, 85, 170, 255], np.uint8), (4, 1))
    assert np.array_equal(resize(ramp, 16), cv2.resize(ramp, (16, 16), interpolation=cv2.INTER_LINEAR))
    fine = np.tile(np.array([0, 200], np.uint8), (192, 96))
    assert (resize(fine, 96) == 100).all(), "pictures that shrink are averaged"
