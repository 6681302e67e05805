"""Transfer of a small copy's colour change to pictures of any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data
from torch import Tensor

from charmnet import color_transfer
from charmnet.augment import resize
from charmnet.batch import denormalize, normalize
from charmnet.color_transfer import transfer_color_change
from charmnet.errors import DataError
from charmnet.full_size import harmonize_full_size
from tests.toy_methods import Untrained

PHOTOGRAPH = data.coffee()  # 400x600


def ellipse(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (((x / width - 0.5) / 0.3) ** 2 + ((y / height - 0.5) / 0.3) ** 2 < 1).astype(np.uint8)


MASK = ellipse(*PHOTOGRAPH.shape[:2])


def composite_of(ground_truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Light the foreground differently: other gains, mixed channels, and stronger on one side."""
    mix = np.array([[0.75, 0.05, 0.0], [0.0, 0.85, 0.05], [0.05, 0.0, 1.0]])
    light = 1 + 0.2 * np.linspace(-1, 1, ground_truth.shape[1])[None, :, None]
    changed = np.clip(ground_truth @ mix.T * light + 6, 0, 255)
    return np.where(mask[..., None] == 1, changed, ground_truth).round().astype(np.uint8)


def sharpness(image: np.ndarray, mask: np.ndarray) -> float:
    inside = cv2.erode(mask, np.ones((9, 9), np.uint8)) == 1
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[inside].mean())


def error(image: np.ndarray, other: np.ndarray, mask: np.ndarray) -> float:
    return float(((image[mask == 1].astype(float) - other[mask == 1]) ** 2).mean())


@pytest.mark.parametrize(
    ("size", "most_left"),
    [((400, 600), 0.02), ((1000, 1400), 0.02), ((256, 256), 0.02), ((120, 90), 0.05)],
)
def test_a_good_small_result_becomes_a_good_and_sharp_large_one(
    size: tuple[int, int], most_left: float
) -> None:
    truth = cv2.resize(PHOTOGRAPH, size[::-1], interpolation=cv2.INTER_AREA)
    mask = ellipse(*size)
    composite = composite_of(truth, mask)
    small, small_mask, small_truth = resize(composite), resize(mask), resize(truth)
    result = transfer_color_change(composite, mask, small, small_truth.astype(float), small_mask)
    assert error(result, truth, mask) < most_left * error(composite, truth, mask)
    assert 0.95 < sharpness(result, mask) / sharpness(truth, mask) < 1.05
    small_error = error(resize(result), small_truth, small_mask)
    assert small_error < 0.05 * error(small, small_truth, small_mask)


def test_the_networks_blur_is_not_carried_over() -> None:
    composite = composite_of(PHOTOGRAPH, MASK)
    blurred = cv2.GaussianBlur(resize(PHOTOGRAPH).astype(float), (0, 0), 1.0)
    result = transfer_color_change(composite, MASK, resize(composite), blurred, resize(MASK))
    enlarged = cv2.resize(blurred, (600, 400)).clip(0, 255).astype(np.uint8)
    assert sharpness(result, MASK) > 0.95 * sharpness(PHOTOGRAPH, MASK)
    assert sharpness(enlarged, MASK) < 0.5 * sharpness(PHOTOGRAPH, MASK)
    assert error(result, PHOTOGRAPH, MASK) < 0.2 * error(enlarged, PHOTOGRAPH, MASK)


def test_outside_the_region_every_pixel_stays() -> None:
    changed = resize(255 - PHOTOGRAPH).astype(float)
    result = transfer_color_change(PHOTOGRAPH, MASK, resize(PHOTOGRAPH), changed, resize(MASK))
    assert np.array_equal(result[MASK == 0], PHOTOGRAPH[MASK == 0])
    assert not np.array_equal(result[MASK == 1], PHOTOGRAPH[MASK == 1])


def test_what_lies_outside_the_region_has_no_influence() -> None:
    small, mask = resize(PHOTOGRAPH), resize(MASK)
    other = np.where(mask[..., None] == 1, small, 0).astype(np.uint8)
    changed = small * 0.8
    result, other_result = (
        transfer_color_change(PHOTOGRAPH, MASK, guide, changed, mask) for guide in (small, other)
    )
    assert np.array_equal(result, other_result)


def test_no_change_changes_nothing() -> None:
    small = resize(PHOTOGRAPH)
    assert np.array_equal(
        transfer_color_change(PHOTOGRAPH, MASK, small, small.astype(float), resize(MASK)), PHOTOGRAPH
    )


def test_strips_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    composite = composite_of(PHOTOGRAPH, MASK)
    arguments = (composite, MASK, resize(composite), resize(PHOTOGRAPH).astype(float), resize(MASK))
    whole = transfer_color_change(*arguments)
    monkeypatch.setattr(color_transfer, "_STRIP_ROWS", 7)
    assert np.array_equal(transfer_color_change(*arguments), whole)


def test_a_region_of_one_colour_is_shifted() -> None:
    flat = np.full((300, 300, 3), 90, np.uint8)
    mask = ellipse(300, 300)
    result = transfer_color_change(flat, mask, resize(flat), np.full((256, 256, 3), 120.0), resize(mask))
    assert np.all(result[mask == 1] == 120)


class Brighten(Untrained):
    """Adds 20 grey levels everywhere."""

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
        return normalize(denormalize(composite) + 20 / 255), None


@pytest.mark.parametrize("background", [False, True])
def test_a_picture_of_any_size_is_harmonized(background: bool) -> None:
    picture = (PHOTOGRAPH // 2).astype(np.uint8)
    result = harmonize_full_size(Brighten(), picture, MASK, background)
    difference = result.astype(int) - picture
    assert np.abs(difference[MASK == 1] - 20).max() <= 1
    assert np.abs(difference[MASK == 0] - (20 if background else 0)).max() <= int(background)


def test_what_cannot_be_harmonized_is_refused() -> None:
    with pytest.raises(DataError, match="expected the same"):
        harmonize_full_size(Brighten(), PHOTOGRAPH, MASK[:-1])
    with pytest.raises(DataError, match="no foreground"):
        harmonize_full_size(Brighten(), PHOTOGRAPH, np.zeros_like(MASK))
    large = np.zeros((1100, 1100, 3), np.uint8)
    one_pixel = np.zeros((1100, 1100), np.uint8)
    one_pixel[1, 1] = 1
    with pytest.raises(DataError, match="a foreground of 1 pixels, of which none is left"):
        harmonize_full_size(Brighten(), large, one_pixel)
    with pytest.raises(ValueError, match="nothing of the region"):
        transfer_color_change(PHOTOGRAPH, MASK, resize(PHOTOGRAPH), resize(PHOTOGRAPH), resize(MASK) * 0)


def test_a_whole_picture_of_foreground_has_no_background_to_change() -> None:
    result = harmonize_full_size(Brighten(), PHOTOGRAPH // 2, np.ones_like(MASK), background=True)
    assert result.mean() == pytest.approx((PHOTOGRAPH // 2).mean() + 20, abs=1)
