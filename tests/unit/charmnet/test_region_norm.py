"""The region-aware norm, by hand."""

from __future__ import annotations

import torch

from charmnet.networks.region_norm import RegionAwareNorm
from tests.golden_support import draw


def test_at_the_start_the_foreground_gets_the_backgrounds_statistics() -> None:
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    mask[..., :20] = 1
    features = draw(1, 2, 64, 64, seed=1).double() * (1 + 3 * mask) + 5 * mask
    output = RegionAwareNorm(2).double()(features, mask)
    foreground, background = output[..., :20], features[..., 20:]
    torch.testing.assert_close(foreground.mean((0, 2, 3)), background.mean((0, 2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        foreground.std((0, 2, 3), correction=0), background.std((0, 2, 3), correction=0), atol=1e-4, rtol=0
    )
