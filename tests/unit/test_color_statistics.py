from __future__ import annotations

import numpy as np
import pytest

from charmnet.color_statistics import lab_statistics, transfer_statistics


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(60, 180, (40, 50, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 15:35] = 1
    return mask


def test_the_region_takes_the_statistics_and_the_rest_stays(image: np.ndarray, mask: np.ndarray) -> None:
    mean, deviation = np.float32([62, 6, -9]), np.float32([8, 4, 5])
    changed, clipped = transfer_statistics(image, mask, mean, deviation)
    new_mean, new_deviation = lab_statistics(changed, mask)
    np.testing.assert_allclose(new_mean, mean, atol=0.3)
    np.testing.assert_allclose(new_deviation, deviation, atol=0.3)
    assert clipped == 0.0
    assert (changed[mask == 0] == image[mask == 0]).all()


def test_its_own_statistics_change_nothing(image: np.ndarray, mask: np.ndarray) -> None:
    changed, _ = transfer_statistics(image, mask, *lab_statistics(image, mask))
    assert np.abs(changed.astype(int) - image).max() <= 1


def test_colours_outside_the_cube_are_counted(image: np.ndarray, mask: np.ndarray) -> None:
    _, clipped = transfer_statistics(image, mask, np.float32([60, 110, 90]), np.float32([5, 3, 3]))
    assert clipped > 0.9


def test_a_single_colour_does_not_divide_by_zero(mask: np.ndarray) -> None:
    flat = np.full((40, 50, 3), 128, np.uint8)
    changed, _ = transfer_statistics(flat, mask, np.float32([50, 0, 0]), np.float32([10, 5, 5]))
    assert len(np.unique(changed[mask > 0].reshape(-1, 3), axis=0)) == 1


def test_an_empty_region_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="empty"):
        lab_statistics(image, np.zeros((40, 50), np.uint8))
