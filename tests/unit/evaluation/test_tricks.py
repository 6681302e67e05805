"""Corrections that need no learning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.recoloring import (
    ColorStatistics,
    foreground_colors,
    lab_of_rgb,
    monge_kantorovitch,
    reinhard,
    rgb_of_lab,
    with_foreground_colors,
)
from pipelines.evaluation.tricks import STRENGTH, TRICKS, apply_tricks
from tests.factories import foreground, photograph


def composite(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    picture, mask = photograph(rng), foreground(rng)
    dark = (picture * rng.uniform(0.3, 0.9, 3)).astype(np.uint8)
    return np.where(mask[..., None] == 1, dark, picture), mask


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_they_are_the_published_transfers_a_fifth_of_the_way(seed: int) -> None:
    image, mask = composite(seed)
    colors = foreground_colors(image, mask)
    background = ColorStatistics.of(foreground_colors(image, 1 - mask))
    lab = lab_of_rgb(colors)
    expected = {
        "mean_shift": colors + 0.2 * (background.mean - colors.mean(axis=0)),
        "reinhard": rgb_of_lab(lab + 0.2 * (lab_of_rgb(reinhard(colors, background)) - lab)),
        "monge_kantorovitch": colors + 0.2 * (monge_kantorovitch(colors, background) - colors),
    }
    assert STRENGTH == 0.2
    pictures = apply_tricks(image, mask)
    assert tuple(pictures) == TRICKS
    for name, picture in pictures.items():
        wanted = with_foreground_colors(image, mask, expected[name])
        difference = np.abs(picture.astype(int) - wanted)
        assert not difference[mask == 0].any(), "the background stays"
        assert np.percentile(difference, 99) <= 1, name
        assert difference.max() <= 4, name  # OpenCV's Lab is not as exact near the gamut's border


def test_a_flat_foreground_is_shifted_and_not_scaled() -> None:
    image, mask = composite(1)
    image[mask == 1] = 40
    for name, picture in apply_tricks(image, mask).items():
        assert np.ptp(picture[mask == 1], axis=0).max() <= 1, name
        assert (picture[mask == 1].mean() > 40) == (image[mask == 0].mean() > 40)


@pytest.mark.parametrize("value", [0, 1])
def test_without_foreground_or_background_nothing_changes(value: int) -> None:
    image, mask = composite(2)
    for picture in apply_tricks(image, np.full_like(mask, value)).values():
        assert np.array_equal(picture, image)
