"""Strength of a change, and the softness of its edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from charmnet.batch import denormalize, normalize
from charmnet.blending import Adjustment, blend, edge_weights, with_strength
from charmnet.full_size import harmonize_full_size
from charmnet.methods import CharmNetMethod
from tests.factories import foreground, photograph
from tests.toy_methods import Untrained

RNG = np.random.default_rng(0)
PICTURE, MASK = photograph(RNG, (300, 400)) // 2, foreground(RNG, (300, 400))


class Brighten(Untrained):
    """Adds 20 grey levels everywhere."""

    def infer(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
        return normalize(denormalize(composite) + 20 / 255), None


@pytest.mark.parametrize("options", [{"strength": -0.1}, {"strength": 2}, {"feather": -1}, {"feather": 1e9}])
def test_a_value_out_of_its_range_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} is .*, expected 0"):
        Adjustment(**options)
    with pytest.raises(ValueError, match="expected 0"):
        harmonize_full_size(Brighten(), PICTURE, MASK, **options)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="strength"):
        Adjustment(strength=float("nan"))


@given(st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_strength_is_the_share_of_the_change_in_grey_levels(strength: float) -> None:
    values = np.arange(256, dtype=np.uint8)
    composite = np.repeat(values[:, None, None], 256, 1).repeat(3, 2)
    harmonized = composite.swapaxes(0, 1).copy()
    result = with_strength(composite, harmonized, strength)
    expected = composite + strength * (harmonized.astype(float) - composite)
    assert np.abs(result - expected).max() <= 0.5 + 1e-3
    assert np.array_equal(result[values, values], composite[values, values])


def test_no_strength_is_the_composite_and_full_strength_the_result() -> None:
    full = harmonize_full_size(Brighten(), PICTURE, MASK)
    assert np.array_equal(harmonize_full_size(Brighten(), PICTURE, MASK, strength=0), PICTURE)
    assert np.array_equal(harmonize_full_size(Brighten(), PICTURE, MASK, strength=1), full)
    half = harmonize_full_size(Brighten(), PICTURE, MASK, strength=0.5)
    assert np.array_equal(half, with_strength(PICTURE, full, 0.5))
    assert np.abs((half.astype(int) - PICTURE)[MASK == 1] - 10).max() <= 1


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 9.0))
@settings(max_examples=25, deadline=None)
def test_weights_fall_over_the_mask_s_edge_and_end_at_their_distance(seed: int, feather: float) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 50), np.uint8)
    top, left = rng.integers(0, 30, 2)
    mask[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)] = 1
    weights = edge_weights(mask, feather)
    assert weights[mask == 1].min() >= 0.5
    assert weights[mask == 0].max() <= 0.5
    steps = np.argwhere(mask == 0)[:, None] - np.argwhere(mask)
    from_edge = np.linalg.norm(steps, axis=2).min(axis=1) - 0.5
    assert not weights[mask == 0][from_edge > feather + 1e-3].any()


def test_weights_are_a_line_across_a_straight_edge() -> None:
    mask = np.zeros((5, 40), np.uint8)
    mask[:, 20:] = 1
    expected = ((np.arange(40) + 0.5 - 20) / 8 + 0.5).clip(0, 1)
    assert np.allclose(edge_weights(mask, 4)[2], expected, atol=1e-6)
    assert np.array_equal(edge_weights(mask, 0.5)[2], mask[2])
    assert edge_weights(np.ones((4, 4), np.uint8), 3).min() == 1


@pytest.mark.parametrize("head", ["pixels", "affine"])
def test_a_feathered_change_ends_at_its_distance_and_is_whole_within(head: str) -> None:
    maps = CharmNetMethod(width=8, head="affine", seed=0)
    maps.modules["generator"].real_dec.whole_map.bias.data[3::4] = 0.3
    method = Brighten() if head == "pixels" else maps
    full, soft = (harmonize_full_size(method, PICTURE, MASK, feather=feather) for feather in (0, 6))
    weights = edge_weights(MASK, 6)
    assert np.array_equal(soft[weights == 0], PICTURE[weights == 0])
    assert np.array_equal(soft[weights == 1], full[weights == 1])
    between = (weights > 0) & (weights < 1)
    change = (soft.astype(float) - PICTURE)[between]
    size = np.median((full.astype(float) - PICTURE)[MASK == 1])
    assert abs(size) >= 10
    assert np.median(np.abs(change - size * weights[between][:, None])) <= 1


def test_with_the_background_the_edge_leads_from_one_change_to_the_other() -> None:
    soft = harmonize_full_size(Brighten(), PICTURE, MASK, background=True, feather=6)
    assert np.abs(soft.astype(int) - PICTURE - 20).max() <= 1


def test_blending_ends_in_its_inputs() -> None:
    rng = np.random.default_rng(0)
    below, above = (rng.integers(0, 256, (130, 7, 3), np.uint8) for _ in range(2))
    weights = rng.choice(np.array([0, 1], np.float32), (130, 7))
    assert np.array_equal(blend(below, above, weights), np.where(weights[..., None] == 1, above, below))
