"""Recolourings that are drawn anew: what is tried, what is taken."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from charmnet.acceptance import FOREGROUND_MSE, reason_by_grain
from charmnet.drawn_recoloring import (
    DRAWN_PALETTE_COLORS,
    TRIES,
    WEAKEST_STRENGTH,
    ColorTable,
    Recoloring,
    color_palette,
    matched,
    recolor,
)
from charmnet.recoloring import ColorStatistics, ColorTransfer, foreground_colors
from tests.factories import foreground, photograph


def measured(count: int) -> tuple[list[np.ndarray], list[np.ndarray], ColorTable]:
    images, masks, statistics, palettes = [], [], [], []
    for number in range(count):
        rng = np.random.default_rng(number)
        image, mask = photograph(rng), foreground(rng)
        images.append(image)
        masks.append(mask)
        statistics.append(ColorStatistics.of(foreground_colors(image, mask)))
        palettes.append(color_palette(image[mask != 0]))
    return images, masks, ColorTable.of(statistics, palettes)


IMAGES, MASKS, TABLE = measured(8)


def drawn(seed: int, own: int = 0, candidates: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)) -> Recoloring:
    return Recoloring.draw(np.random.default_rng(seed), TABLE, own, np.array(candidates))


def test_a_palette_has_its_size_whatever_the_foregrounds() -> None:
    for count in (1, 5, DRAWN_PALETTE_COLORS, 5000):
        colors = np.arange(count * 3).reshape(-1, 3).astype(np.uint8)
        assert color_palette(colors).shape == (DRAWN_PALETTE_COLORS, 3)


def test_every_transfer_and_reference_is_tried() -> None:
    draws = [drawn(seed) for seed in range(30)]
    methods = Counter(np.concatenate([draw.methods for draw in draws]).tolist())
    assert set(methods) == set(range(len(ColorTransfer)))
    assert min(methods.values()) > 0.15 * 30 * TRIES
    means = {tuple(mean) for draw in draws for mean in draw.colors.mean[1:]}
    assert means == {tuple(mean) for mean in TABLE.mean[1:]}
    assert all(np.array_equal(draw.colors.mean[0], TABLE.mean[0]) for draw in draws)


def test_strengths_are_between_a_half_and_the_whole_change_and_keep_to_the_allowed_errors() -> None:
    shares = []
    for seed in range(10):
        draw = drawn(seed)
        for number, attempt in enumerate(draw.attempts()):
            whole = draw._transferred(attempt.colors, number, tuple(ColorTransfer)[draw.methods[number]])
            change = whole - attempt.colors
            strength = float(((attempt.changed - attempt.colors) * change).sum() / np.square(change).sum())
            error = float(np.square(255 * (attempt.changed - attempt.colors)).mean())
            assert strength <= 1 + 1e-9
            assert strength > WEAKEST_STRENGTH - 1e-9 or error == pytest.approx(FOREGROUND_MSE[1])
            assert error <= FOREGROUND_MSE[1] * (1 + 1e-9)
            shares.append(strength)
    assert np.ptp(shares) > 0.3


def test_matching_gives_the_references_distribution() -> None:
    colors, reference = TABLE.palette(0), TABLE.palette(3)
    given = matched(colors, reference, seed=3)
    for axis in range(3):
        assert np.abs(np.sort(given[:, axis]) - np.sort(reference[:, axis])).mean() < 0.02
    assert np.array_equal(given, matched(colors, reference, seed=3))
    assert not np.array_equal(given, matched(colors, reference, seed=4))


def test_a_composite_is_the_first_recolouring_that_the_rules_accept() -> None:
    image, mask = IMAGES[0], MASKS[0]
    coverage = mask * np.uint8(255)
    for seed in range(20):
        composite = recolor(image, coverage, drawn(seed))
        assert np.array_equal(composite[mask == 0], image[mask == 0])
        error = np.square(composite.astype(float) - image)[mask != 0].mean()
        assert 0.7 * FOREGROUND_MSE[0] < error < 1.3 * FOREGROUND_MSE[1]
        assert reason_by_grain(image, composite, mask) is None
        accepted = (a for a in drawn(seed).attempts() if a.reason is None)
        passing = (a.apply(image, coverage) for a in accepted)
        first = next(c for c in passing if reason_by_grain(image, c, mask) is None)
        assert np.array_equal(composite, first)


def test_where_no_try_passes_the_one_nearest_to_the_allowed_errors_is_made() -> None:
    same = ColorTable(*(np.repeat(values[:1], 2, axis=0) for values in vars(TABLE).values()))
    recoloring = Recoloring.draw(np.random.default_rng(0), same, 0, np.array([1]))  # the colours it has
    attempts = list(recoloring.attempts())
    assert all(attempt.reason == "recolouring too weak" for attempt in attempts)
    nearest = min(attempts, key=lambda attempt: attempt.distance)
    assert nearest.distance > 0
    image, coverage = IMAGES[0], MASKS[0] * np.uint8(255)
    assert np.array_equal(recolor(image, coverage, recoloring), nearest.apply(image, coverage))


def test_where_nothing_of_the_foreground_shows_the_picture_stays() -> None:
    assert np.array_equal(recolor(IMAGES[0], MASKS[0] * np.uint8(0), drawn(0)), IMAGES[0])
