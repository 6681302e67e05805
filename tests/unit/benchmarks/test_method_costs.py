"""Operations of a method, beside those counted by hand."""

from __future__ import annotations

import pytest

from charmnet.methods import build_method
from pipelines.benchmarks.method_costs import forward_gflop, update_costs
from tests.toy_methods import ToyHarmonizer, ToyTranslator


def test_a_forward_pass_is_its_convolutions() -> None:
    pixels = 256 * 256
    assert forward_gflop(ToyTranslator()) == pytest.approx(2 * 3 * 3 * pixels / 1e9)
    assert forward_gflop(ToyHarmonizer()) == pytest.approx(2 * (4 * 8 + 8 * 3) * pixels / 1e9)


def test_an_update_is_counted_by_sample() -> None:
    method = build_method("idih", width=8, seed=0)
    gflop, seconds = update_costs(method, samples=2)
    # A backward pass is two forward ones, but for the first layer, whose input needs no gradient.
    assert 2.5 * forward_gflop(method) < gflop < 3 * forward_gflop(method)
    assert seconds > 0
