"""Polynomial maps of colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.color_polynomials import ColorPolynomial
from charmnet.recoloring import ColorStatistics, reinhard
from tests.factories import photograph

MATRIX = np.array([[0.8, 0.1, -0.05], [0.02, 1.1, 0.0], [0.1, -0.1, 0.7]])
SHIFT = np.array([0.05, -0.02, 0.1])


def palette(seed: int, count: int = 256) -> np.ndarray:
    return photograph(np.random.default_rng(seed)).reshape(-1, 3)[:: 96 * 64 // count][:count] / 255


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_a_linear_change_is_recovered_also_beyond_the_palette(seed: int) -> None:
    colors, others = palette(seed), palette(seed + 1)
    linear = ColorPolynomial.fit(colors, colors @ MATRIX.T + SHIFT, linear=True)
    np.testing.assert_allclose(linear(others), others @ MATRIX.T + SHIFT, atol=2e-3)
    quadratic = ColorPolynomial.fit(colors, colors @ MATRIX.T + SHIFT, linear=False)
    np.testing.assert_allclose(quadratic(colors), colors @ MATRIX.T + SHIFT, atol=1e-2)


def test_a_transfer_in_lab_is_met_within_two_levels() -> None:
    colors, reference = palette(0), palette(5) * 0.6 + 0.2
    changed = reinhard(colors, ColorStatistics.of(reference))
    fitted = ColorPolynomial.fit(colors, changed, linear=False)(colors)
    assert np.sqrt(np.square(fitted - changed).mean()) * 255 < 2


def test_one_colour_is_shifted_and_no_other_coefficient_grows() -> None:
    colors = np.full((256, 3), 0.5)
    fitted = ColorPolynomial.fit(colors, colors + 0.1, linear=False)
    assert fitted(np.array([[0.9, 0.1, 0.4]])) == pytest.approx(np.array([[1.0, 0.2, 0.5]]), abs=1e-6)


@pytest.mark.parametrize("linear", [True, False])
def test_pixels_change_by_their_coverage_and_the_background_keeps_every_bit(linear: bool) -> None:
    rng = np.random.default_rng(1)
    image = photograph(rng)
    coverage = rng.integers(0, 256, image.shape[:2]).astype(np.uint8)
    coverage[:20] = 0
    colors = palette(2)
    fitted = ColorPolynomial.fit(
        colors, (colors @ MATRIX.T + SHIFT) ** (1.0 if linear else 1.1), linear=linear
    )
    recolored = fitted.recolored(image, coverage)
    pixels = image.reshape(-1, 3) / 255
    share = coverage.reshape(-1, 1) / 255
    expected = 255 * (pixels + share * (fitted(pixels) - pixels)).clip(0, 1)
    assert np.abs(recolored.reshape(-1, 3) - expected).max() <= 0.51
    assert np.array_equal(recolored[coverage == 0], image[coverage == 0])
    assert recolored is not image
    full = fitted.recolored(image, np.full_like(coverage, 255)).reshape(-1, 3)
    assert np.abs(full - 255 * fitted(pixels).clip(0, 1)).max() <= 0.51
    assert np.array_equal(fitted.recolored(image, coverage * 0), image)
