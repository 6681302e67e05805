"""Instance norm's gradient against one by hand, for every layout of input and gradient."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from charmnet.networks.instance_norm import InstanceNorm2d
from tests.golden_support import draw

LAYOUTS = (torch.channels_last, torch.contiguous_format)


@pytest.mark.parametrize("samples", [1, 2])
def test_gradients_do_not_depend_on_the_layout(samples: int) -> None:
    features, weights = (draw(samples, 4, 6, 5, seed=seed).double() for seed in (1, 2))
    by_hand = features.clone().requires_grad_()
    centred = by_hand - by_hand.mean((2, 3), keepdim=True)
    expected = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    expected.backward(weights)
    for layout, gradient_layout in product(LAYOUTS, LAYOUTS):
        given = features.clone(memory_format=layout).requires_grad_()
        output = InstanceNorm2d(4)(given)
        output.backward(weights.clone(memory_format=gradient_layout))
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(given.grad, by_hand.grad)
