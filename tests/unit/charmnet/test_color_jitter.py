"""Jitter of a photograph's colours."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.color_jitter import ColorJitter
from tests.factories import photograph


def plainly(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Jitter in floating point, a formula at a time."""
    gamma, exposure, saturation, *balance = rng.standard_normal(6)
    values = (image / 255).clip(1e-3, 1) ** np.exp(gamma * 0.25 * strength)
    values *= np.exp(exposure * 0.15 * strength + np.array(balance) * 0.1 * strength)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * np.exp(saturation * 0.3 * strength)
    return 255 * values.clip(0, 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 2.0))
def test_it_is_gamma_exposure_white_balance_and_saturation(seed: int, strength: float) -> None:
    image = photograph(np.random.default_rng(seed), (12, 16))
    jittered = ColorJitter.draw(np.random.default_rng(seed), strength).apply(image)
    expected = plainly(image, np.random.default_rng(seed), strength)
    assert jittered.dtype == np.uint8
    assert np.abs(jittered - expected).max() <= 0.51


def test_equal_pixels_stay_equal_and_strength_nought_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    image = photograph(rng)
    assert np.abs(ColorJitter.draw(rng, 0.0).apply(image).astype(int) - image).max() <= 1
    other = image.copy()
    other[:10] = 7
    jitter = ColorJitter.draw(rng, 0.8)
    assert np.array_equal(jitter.apply(image)[10:], jitter.apply(other)[10:])
    assert not np.array_equal(jitter.apply(image), image)
