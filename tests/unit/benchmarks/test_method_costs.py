"""Operations of a method, beside those counted by hand."""

from __future__ import annotations

import pytest

from charmnet.methods import build_method
from pipelines.benchmarks.method_costs import forward_gflop, update_seconds
from tests.toy_methods import ToyHarmonizer, ToyTranslator


def test_a_forward_pass_is_its_convolutions() -> None:
    pixels = 256 * 256
    assert forward_gflop(ToyTranslator()) == pytest.approx(2 * 3 * 3 * pixels / 1e9)
    assert forward_gflop(ToyHarmonizer()) == pytest.approx(2 * (4 * 8 + 8 * 3) * pixels / 1e9)


def test_an_update_is_timed_by_sample() -> None:
    method = build_method("dovenet", width=4, seed=0)  # its penalty takes gradients within the update
    assert 0 < update_seconds(method, samples=2) < 60
