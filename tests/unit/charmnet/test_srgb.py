"""The sRGB curve: the standard's figures, its inverse, and the exact bits that callers rely on."""

from __future__ import annotations

import numpy as np
import pytest

from charmnet.srgb import linear_from_srgb, srgb_from_linear


def test_curve_has_the_figures_of_the_standard() -> None:
    encoded = np.array([0.0, 0.04045, 0.5, 1.0])
    linear = np.array([0.0, 0.0031308, 0.21404114, 1.0])
    np.testing.assert_allclose(linear_from_srgb(encoded), linear, atol=1e-7)
    np.testing.assert_allclose(srgb_from_linear(linear), encoded, atol=1e-6)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_curve_keeps_precision_and_shape_and_extrapolates_in_a_line(precision: type[np.floating]) -> None:
    values = np.linspace(-0.5, 1.5, 24).reshape(2, 4, 3).astype(precision)
    for curve in (linear_from_srgb, srgb_from_linear):
        result = curve(values)
        assert result.dtype == precision
        assert result.shape == values.shape
        assert np.isfinite(result).all()
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-5)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_curve_has_the_bits_of_the_formula_written_out(precision: type[np.floating]) -> None:
    values = np.linspace(-0.1, 1.1, 4001).astype(precision)
    decoded = np.where(
        values <= 0.04045, values / 12.92, (np.maximum(values, 0) / 1.055 + 0.055 / 1.055) ** 2.4
    )
    encoded = np.where(
        values <= 0.0031308, 12.92 * values, 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055
    )
    np.testing.assert_array_equal(linear_from_srgb(values), decoded)
    np.testing.assert_array_equal(srgb_from_linear(values), encoded)
