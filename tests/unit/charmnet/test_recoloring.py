"""Transfers of colour statistics from one foreground to another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.recoloring import (
    ColorStatistics,
    foreground_colors,
    iterative_distribution,
    lab_of_rgb,
    monge_kantorovitch,
    reinhard,
    rgb_of_lab,
    with_foreground_colors,
    xiao,
)

Transfer = Callable[[np.ndarray], np.ndarray]


def colors(seed: int, count: int = 900) -> np.ndarray:
    """[N,3] RGB on 0-1 with correlated channels, of two clusters: not a Gaussian."""
    rng = np.random.default_rng(seed)
    mixing = rng.uniform(-0.12, 0.12, (3, 3))
    centres = rng.uniform(0.3, 0.7, (2, 3))
    return (rng.normal(size=(count, 3)) @ mixing + centres[rng.integers(2, size=count)]).clip(0, 1)


def transfers(reference: np.ndarray) -> dict[str, Transfer]:
    statistics = ColorStatistics.of(reference)
    return {
        "reinhard": partial(reinhard, reference=statistics),
        "xiao": partial(xiao, reference=statistics),
        "monge_kantorovitch": partial(monge_kantorovitch, reference=statistics),
        "iterative_distribution": partial(iterative_distribution, reference_colors=reference, seed=7),
    }


def wasserstein(left: np.ndarray, right: np.ndarray) -> float:
    """Mean over 30 directions of the distance between marginals, on the scale 0-255."""
    directions = np.random.default_rng(0).normal(size=(3, 30))
    directions /= np.linalg.norm(directions, axis=0)
    levels = np.linspace(0, 1, 200)
    left, right = (np.quantile(values @ directions, levels, axis=0) for values in (left, right))
    return float(np.abs(left - right).mean() * 255)


def test_lab_is_that_of_the_standard_and_goes_back() -> None:
    known = {(1, 1, 1): (100, 0, 0), (1, 0, 0): (53.24, 80.09, 67.20), (0, 0, 1): (32.30, 79.19, -107.86)}
    result = lab_of_rgb(np.array(list(known), np.float64))
    np.testing.assert_allclose(result, list(known.values()), atol=0.02)
    wide = np.random.default_rng(0).uniform(-0.2, 1.3, (500, 3))
    np.testing.assert_allclose(rgb_of_lab(lab_of_rgb(wide)), wide, atol=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_closed_forms_give_the_references_statistics(seed: int) -> None:
    source, reference = colors(seed), colors(seed + 1, count=500)
    statistics = ColorStatistics.of(reference)
    for transfer in (xiao, monge_kantorovitch):
        result = ColorStatistics.of(transfer(source, statistics))
        np.testing.assert_allclose(result.mean, statistics.mean, atol=1e-9)
        np.testing.assert_allclose(result.covariance, statistics.covariance, atol=1e-9)
    result = ColorStatistics.of(reinhard(source, statistics))
    np.testing.assert_allclose(result.lab_mean, statistics.lab_mean, atol=1e-6)
    np.testing.assert_allclose(result.lab_deviation, statistics.lab_deviation, atol=1e-6)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_linear_maps_differ_as_they_should(seed: int) -> None:
    """Monge and Kantorovitch's map moves colours least, of all linear maps to the reference's covariance."""
    source, statistics = colors(seed), ColorStatistics.of(colors(seed + 1))
    moved = {f: np.square(f(source, statistics) - source).mean() for f in (xiao, monge_kantorovitch)}
    assert moved[monge_kantorovitch] <= moved[xiao] + 1e-12


@pytest.mark.parametrize("seed", [1, 20, 56])
def test_the_iterative_transfer_takes_the_whole_distribution(seed: int) -> None:
    source, reference = colors(seed, count=5000), colors(seed + 1, count=4000)
    before = wasserstein(source, reference)
    after = {name: wasserstein(f(source), reference) for name, f in transfers(reference).items()}
    assert after["iterative_distribution"] < 0.15 * before
    assert after["iterative_distribution"] < max(after["xiao"], 2.0)


@pytest.mark.parametrize("name", transfers(colors(0)))
def test_its_own_colours_change_nothing(name: str) -> None:
    source = colors(4)
    np.testing.assert_allclose(transfers(source)[name](source), source, atol=1e-6)


@pytest.mark.parametrize("name", transfers(colors(0)))
def test_flat_and_tiny_regions_take_the_mean_and_stay_flat(name: str) -> None:
    reference = colors(4)
    for count in (1, 2, 400):
        source = np.tile([0.2, 0.5, 0.3], (count, 1))
        result = transfers(reference)[name](source)
        assert np.ptp(result, axis=0).max() < 1e-9
        np.testing.assert_allclose(lab_of_rgb(result)[0], lab_of_rgb(reference).mean(axis=0), atol=4)
    grey = np.repeat(np.linspace(0.2, 0.8, 300)[:, None], 3, axis=1)  # a covariance of rank one
    assert np.isfinite(transfers(reference)[name](grey)).all()
    flattened = transfers(np.tile([0.2, 0.5, 0.3], (50, 1)))[name](reference)
    assert np.abs(flattened - [0.2, 0.5, 0.3]).max() < 1e-6


def test_seeds_give_the_rotations() -> None:
    source, reference = colors(1), colors(2)
    first, again = (iterative_distribution(source, reference, seed=5) for _ in range(2))
    assert (first == again).all()
    assert (first != iterative_distribution(source, reference, seed=6)).any()


def test_only_the_foreground_changes() -> None:
    image = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 10:30] = 1
    source = foreground_colors(image, mask)
    assert (with_foreground_colors(image, mask, source) == image).all()
    changed = with_foreground_colors(image, mask, source + np.array([1.0, -2.0, 0.1]))
    assert (changed[mask == 0] == image[mask == 0]).all()
    assert (changed[mask == 1][:, :2] == [255, 0]).all()


def test_no_colours_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing of the mask"):
        ColorStatistics.of(np.zeros((0, 3)))
