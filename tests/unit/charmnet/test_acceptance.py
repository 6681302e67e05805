"""Rules by which composites are accepted."""

from __future__ import annotations

import numpy as np

from charmnet.acceptance import reason_by_colors, reason_by_grain, reason_by_means


def test_each_rule_refuses_its_kind_of_composite() -> None:
    rng = np.random.default_rng(0)
    base = np.array([0.55, 0.4, 0.3]) + rng.normal(0, 0.08, (500, 1)) + rng.normal(0, 0.01, (500, 3))
    mean = base.mean(axis=0)
    assert reason_by_colors(base, base * [1.1, 0.95, 0.8]) is None
    assert reason_by_colors(base, base + 0.01) == "recolouring too weak"
    assert reason_by_colors(base, base + 0.3) == "recolouring too strong"
    assert reason_by_colors(base, base + 0.05 + 0.6 * (rng.random((500, 1)) < 0.1)) == "clipped colours"
    assert reason_by_colors(base, mean + 0.3 * (base - mean)) == "contrast changed too much"
    assert reason_by_colors(base, base * [1.1, 0.95, 0.4]) == "strong cast"
    pale = base - mean + [0.5, 0.48, 0.5]
    assert reason_by_colors(pale, pale[:, [1, 0, 2]] * [0.9, 1.05, 0.9]) == "turned hues"
    assert reason_by_means(mean, mean + 0.3) == "recolouring too strong"
    assert reason_by_means(mean, mean + 0.1) is None


def test_amplified_noise_is_refused() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(128, 3, (40, 40, 3)).astype(np.uint8)
    mask = np.ones((40, 40), np.uint8)
    noisy = rng.normal(128, 9, (40, 40, 3)).astype(np.uint8)
    assert reason_by_grain(image, noisy, mask) == "grainy"
    assert reason_by_grain(image, image, mask) is None
    assert reason_by_grain(image, noisy, np.eye(40, dtype=np.uint8)) is None  # no two neighbours
