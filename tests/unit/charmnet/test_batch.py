"""Batches of floats from the arrays that cross to a worker."""

from __future__ import annotations

import torch

from charmnet.batch import HarmonizationBatch, mask_from_uint8


def test_hard_masks_keep_their_values_and_soft_ones_are_shares() -> None:
    hard = mask_from_uint8(torch.tensor([[[0, 1]]], dtype=torch.uint8))
    soft = mask_from_uint8(torch.tensor([[[0, 51, 255]]], dtype=torch.uint8), soft_mask=True)
    assert hard.tolist() == [[[[0.0, 1.0]]]]
    torch.testing.assert_close(soft, torch.tensor([[[[0.0, 0.2, 1.0]]]]))


def test_a_batch_takes_its_soft_mask_as_shares() -> None:
    image = torch.zeros((2, 4, 4, 3), dtype=torch.uint8)
    mask = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    batch = HarmonizationBatch.from_uint8(image, image, mask, soft_mask=True)
    assert batch.foreground_mask.unique().tolist() == [1.0]
