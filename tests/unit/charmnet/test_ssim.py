"""Structural similarity, against scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity as reference

from charmnet.ssim import structural_similarity
from tests.factories import photograph


@settings(deadline=None, max_examples=20)
@given(
    st.integers(11, 40), st.integers(11, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.8, 1.0])
)
def test_agrees_with_scikit_image(height: int, width: int, seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    image = photograph(rng, (height, width))
    other = (image * (1 - noise) + noise * rng.integers(0, 256, image.shape)).astype(np.uint8)
    expected = reference(
        image, other, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=255,
    )  # fmt: skip
    assert structural_similarity(image, other) == pytest.approx(expected, abs=2e-5)
    assert structural_similarity(other, image) == pytest.approx(expected, abs=2e-5)


def test_strips_of_a_large_picture_add_up() -> None:
    rng = np.random.default_rng(0)
    image = photograph(rng, (700, 90))
    other = np.clip(image.astype(int) + rng.integers(-30, 30, image.shape), 0, 255).astype(np.uint8)
    expected = reference(
        image, other, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=255,
    )  # fmt: skip
    assert structural_similarity(image, other) == pytest.approx(expected, abs=2e-5)


def test_flat_and_equal_pictures_are_alike_and_small_ones_have_no_index() -> None:
    grey = np.full((20, 20, 3), 200, np.uint8)
    assert structural_similarity(grey, grey) == pytest.approx(1.0, abs=1e-6)
    luminance = (2 * 200 * 100 + 6.5025) / (200**2 + 100**2 + 6.5025)
    assert structural_similarity(grey, grey // 2) == pytest.approx(luminance, abs=1e-6)
    assert structural_similarity(grey[:10], grey[:10]) is None
