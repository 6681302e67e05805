"""Composites of a scene's conditions and their style labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.composition import exchange_foreground, soft_style_label
from charmnet.vocabulary import CaptureCondition

CONDITIONS = st.sampled_from(CaptureCondition)


def test_every_pixel_comes_whole_from_one_picture() -> None:
    rng = np.random.default_rng(0)
    foreground, background = rng.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    mask = rng.integers(0, 2, (20, 30), dtype=np.uint8)
    composite = exchange_foreground(foreground, background, mask)
    assert composite.dtype == np.uint8
    assert np.array_equal(composite[mask == 1], foreground[mask == 1])
    assert np.array_equal(composite[mask == 0], background[mask == 0])


def test_pictures_of_another_size_are_refused() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="one height and width"):
        exchange_foreground(image, image, np.ones((4, 1), np.uint8))


@given(CONDITIONS, CONDITIONS, st.floats(0, 1))
def test_labels_are_probabilities(
    foreground: CaptureCondition, background: CaptureCondition, ratio: float
) -> None:
    label = soft_style_label(foreground, background, ratio)
    assert label.dtype == np.float32
    assert label.sum() == pytest.approx(1, abs=1e-6)
    assert label.min() >= 0


def test_the_foreground_weighs_as_much_as_it_covers() -> None:
    label = soft_style_label(CaptureCondition.NIGHT, CaptureCondition.NOON_CLEAR, 0.2)
    assert label[9] == pytest.approx(0.2)
    assert label[3] == pytest.approx(0.8)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_that_is_no_share_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="share"):
        soft_style_label(0, 1, ratio)
