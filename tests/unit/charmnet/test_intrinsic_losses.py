"""Losses of intrinsic image harmonization, derived by hand on pictures of a few pixels."""

from __future__ import annotations

import math

import pytest
import torch

from charmnet.intrinsic_losses import (
    contrast_structure_dissimilarity,
    gradient_distance,
    second_order_smoothness,
)
from tests.golden_support import draw


def test_gradients_are_of_the_sum_of_channels_from_zeros_on() -> None:
    image, other = torch.zeros(1, 3, 2, 3), torch.zeros(1, 3, 2, 3)
    image[0, :, 0] = torch.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    other[0, 0, 1, 2] = -4
    # The image's sums over channels are 2 1 2 / 0 0 0, the other's 0 0 0 / 0 0 -4. Absolute differences to
    # the pixel before, horizontally: 2 1 1 / 0 0 0 against 0 0 0 / 0 0 4; vertically 2 1 2 / 2 1 2 against
    # 0 0 0 / 0 0 4.
    horizontal = (2 + 1 + 1 + 4) / 6
    vertical = (2 + 1 + 2 + 2 + 1 + 2) / 6
    assert gradient_distance(image, other).item() == pytest.approx(horizontal + vertical)
    assert gradient_distance(image, image) == 0


def test_smoothness_is_of_all_four_second_differences() -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(4.0), indexing="ij")
    # Second differences: 2 along the rows, 6 along the columns, 5 mixed, which counts twice.
    image = (rows**2 + 3 * columns**2 + 5 * rows * columns)[None, None].expand(2, 3, 5, 4)
    assert second_order_smoothness(image).item() == pytest.approx(2 + 6 + 2 * 5)
    assert second_order_smoothness(2 * rows.expand(1, 3, 5, 4)).item() == 0


def test_dissimilarity_is_that_of_windows_with_zeros_outside() -> None:
    features, truth = draw(2, 1, 4, 3, seed=1).double(), draw(2, 3, 8, 6, seed=2).double()
    total = 0.0
    for x, picture in zip(features[:, 0], truth, strict=True):
        red, green, blue = picture[:, ::2, ::2]  # the nearest pixels
        y = 0.2989 * red + 0.5870 * green + 0.1140 * blue
        for row in range(4):
            for column in range(3):
                total += _contrast_structure(x, y, row, column)
    expected = (1 - total / 24) / 2
    got = contrast_structure_dissimilarity(features, truth)
    assert got.item() == pytest.approx(expected, rel=1e-6)  # the window is rounded to float32


def _contrast_structure(x: torch.Tensor, y: torch.Tensor, row: int, column: int) -> float:
    norm = sum(math.exp(-(d**2) / 4.5) for d in range(-5, 6)) ** 2
    weights = {
        (r, c): math.exp(-((r - row) ** 2 + (c - column) ** 2) / 4.5) / norm
        for r in range(4)
        for c in range(3)
    }
    mean_x, mean_y, square_x, square_y, product = (
        sum(weight * values[place].item() for place, weight in weights.items())
        for values in (x, y, x * x, y * y, x * y)
    )
    variances = square_x - mean_x**2 + square_y - mean_y**2
    return (2 * (product - mean_x * mean_y) + 0.0009) / (variances + 0.0009)
