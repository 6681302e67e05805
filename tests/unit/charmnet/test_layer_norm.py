"""The layer norm over whole samples against its definition."""

from __future__ import annotations

import pytest
import torch

from charmnet.networks.layer_norm import SampleLayerNorm
from tests.golden_support import draw


def test_it_divides_by_the_unbiased_deviation_and_epsilon() -> None:
    norm = SampleLayerNorm(3).double()
    assert 0 <= norm.gamma.min() < norm.gamma.max() <= 1
    assert [name for name, _ in norm.named_parameters()] == ["gamma", "beta"]
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([2.0, 0.5, -1.0]))
        norm.beta.copy_(torch.tensor([0.0, 1.0, 3.0]))
    features = 1e-3 * draw(2, 3, 4, 5, seed=1).double() + 7  # small, so that epsilon counts
    for sample, normed in zip(features, norm(features), strict=True):
        centred = sample - sample.sum() / 60
        deviation = ((centred**2).sum() / 59) ** 0.5
        for channel, (scale, shift) in enumerate([(2.0, 0.0), (0.5, 1.0), (-1.0, 3.0)]):
            expected = centred[channel] / (deviation + 1e-5) * scale + shift
            torch.testing.assert_close(normed[channel], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_statistics_of_bfloat16_are_those_of_float32(dtype: torch.dtype) -> None:
    norm = SampleLayerNorm(2)
    features = (draw(1, 2, 64, 64, seed=2) + 50).to(dtype)
    normed = norm(features)
    assert normed.dtype == dtype
    torch.testing.assert_close(normed.float(), norm(features.float()), rtol=1e-2, atol=1e-2)
