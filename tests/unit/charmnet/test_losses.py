"""Losses beside the golden figures: extreme inputs, the way of gradients, failures."""

from __future__ import annotations

import math

import pytest
import torch

from charmnet.losses import (
    entropy,
    foreground_normalized_mse,
    soft_cross_entropy,
    style_aggregation,
)


def test_the_background_counts_and_small_foregrounds_are_worth_100_pixels() -> None:
    ground_truth = torch.zeros(2, 3, 16, 16)
    harmonized = ground_truth.clone()
    harmonized[:, :, 0, 0] = 2.0
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, 8:, 8:] = 1
    mask[1, :, 1:, :] = 1
    losses = foreground_normalized_mse(harmonized, ground_truth, mask)
    torch.testing.assert_close(losses, torch.tensor([12.0 / 300, 12.0 / (3 * 240)]))


def test_certain_classifiers_give_numbers() -> None:
    """In the released code 0 times log 0 was NaN where softmax underflows to 0."""
    logits = torch.tensor([[0.0, -200.0], [300.0, 0.0]], requires_grad=True)
    assert entropy(logits).item() == pytest.approx(0.0, abs=1e-6)
    loss = soft_cross_entropy(logits, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert loss.item() == pytest.approx(100.0)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_entropy_of_even_odds_is_the_logarithm_of_their_number() -> None:
    assert entropy(torch.zeros(3, 10)).item() == pytest.approx(math.log(10))


def test_both_classifiers_learn_from_consistency_and_margin() -> None:
    before = torch.randn(4, 10, requires_grad=True)
    after = torch.randn(4, 10, requires_grad=True)
    for loss in style_aggregation(before, after):
        gradients = torch.autograd.grad(loss, (before, after), retain_graph=True)
        assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_the_margin_is_taken_after_averaging_and_stops_at_zero() -> None:
    """One sample far above the margin and one below: the mean decides, not each."""
    before = torch.zeros(2, 10)
    after = torch.stack([torch.zeros(10), torch.eye(10)[0] * 100]).requires_grad_()
    margin = style_aggregation(before, after)[1]
    mean = 1 - math.log(10) + math.log(10) / 2
    assert mean < 0
    assert margin.item() == 0
    assert torch.autograd.grad(margin, after)[0].abs().max() == 0
    assert style_aggregation(before, after, margin=2.0)[1].item() == pytest.approx(1 + mean)


def test_a_nan_is_not_hidden_by_the_margin() -> None:
    logits = torch.full((2, 10), float("nan"))
    assert style_aggregation(logits, torch.zeros(2, 10))[1].isnan()
