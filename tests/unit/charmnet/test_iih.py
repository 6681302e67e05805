"""Parts of intrinsic image harmonization against what their definitions say, position by position."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.methods import IntrinsicMethod
from charmnet.networks.iih import FreeAttention, GlobalLighting, GuidedBlock, LightTransfer
from charmnet.released_weights import method_of_one_network, read_pth
from charmnet.vocabulary import Domain
from tests.golden_support import draw

SMALL = {"width": 4, "blocks": 1, "attention_blocks": 1, "lighting_blocks": 1}


def half_mask(side: int, samples: int = 1) -> torch.Tensor:
    mask = torch.zeros(samples, 1, side, side)
    mask[..., : side // 2, : side // 4] = 1
    return mask


def small_batch(samples: int = 2) -> dict[Domain, HarmonizationBatch]:
    composite, ground_truth = (draw(samples, 3, 32, 32, seed=seed).sigmoid() for seed in (1, 2))
    return {Domain.REAL: HarmonizationBatch(composite, ground_truth, half_mask(32, samples))}


def test_scores_are_a_softmax_of_ten_covariances_over_all_positions() -> None:
    attention = FreeAttention(4, 0).double()
    mask = half_mask(4).double()
    inputs = draw(1, 4, 32, 32, seed=1).double()
    scores, mean = attention(inputs, mask)
    features = attention.model(inputs)[0].flatten(1).T  # [16 positions, 16 channels]
    inside = mask.flatten()
    torch.testing.assert_close(mean.flatten(), features.mean(1))
    for i in range(16):
        foreground = inside[i] * (features[i] - features[i].mean())
        logits = torch.stack(
            [
                10 * (foreground * (1 - inside[j]) * (features[j] - features[j].mean())).sum() / 15
                for j in range(16)
            ]
        )
        torch.testing.assert_close(scores[0, :, i // 4, i % 4], logits.softmax(0))


def test_what_is_borrowed_are_patches_laid_by_transposed_convolution() -> None:
    features, scores = draw(2, 3, 8, 8, seed=1).double(), draw(2, 16, 4, 4, seed=2).double()
    expected = []
    for picture, score in zip(features, scores, strict=True):
        padded = F.pad(picture, (1, 1, 1, 1))
        kernels = [padded[:, 2 * r : 2 * r + 4, 2 * c : 2 * c + 4] for r in range(4) for c in range(4)]
        expected.append(F.conv_transpose2d(score[None], torch.stack(kernels), stride=2, padding=1) / 4)
    block = GuidedBlock(3).double()
    torch.testing.assert_close(block._borrowed(features, scores), torch.cat(expected))


def test_light_is_read_off_each_region_alone() -> None:
    lighting = GlobalLighting(4)
    inputs, mask = draw(2, 4, 32, 32, seed=1), half_mask(8, 2)
    foreground, background = lighting(inputs, mask)
    features = lighting.model(inputs)
    for code, region in ((foreground, mask == 1), (background, mask == 0)):
        means = torch.stack([f[:, r[0]].mean(1) for f, r in zip(features, region, strict=True)])
        torch.testing.assert_close(code, lighting.light_mlp(means))
    everything, nothing = lighting(inputs, torch.ones_like(mask))
    torch.testing.assert_close(nothing, lighting.light_mlp.fc.bias.expand_as(everything))


def test_light_is_changed_by_ratio_and_intensity_in_the_foreground_alone() -> None:
    transfer = LightTransfer(3)
    features, mask = draw(1, 3, 8, 8, seed=1), half_mask(8)
    foreground, background = draw(1, 8, seed=2), draw(1, 8, seed=3)
    changed = transfer(features, foreground, background, mask)
    own, other = (F.leaky_relu(transfer.light_mlp.fc(code), 0.2)[0] for code in (foreground, background))
    colors = transfer.rgb_model(features)[0]  # 3 colours of 3 channels each
    for channel in range(3):
        shares = [light[3 + channel :: 3].softmax(0) for light in (own, other)]
        sums = sum(colors[3 * k + channel] * shares[1][k] / (shares[0][k] + 1e-8) for k in range(3))
        expected = sums + other[channel] - own[channel]
        torch.testing.assert_close(
            changed[0, channel], torch.where(mask[0, 0] == 1, expected, features[0, channel])
        )


def test_the_illumination_teaches_the_attention_nothing() -> None:
    """What it borrows is detached; the reflectance and the attention's own loss teach it."""
    weights = {"reconstruction_weight": 0, "reflectance_weight": 0, "free_features_weight": 0}
    method = IntrinsicMethod(**SMALL, **weights, seed=0)
    method.update(small_batch())
    gradients = {
        name: p.grad.abs().sum().item() for name, p in method.modules["generator"].named_parameters()
    }
    assert not any(value for name, value in gradients.items() if name.startswith(("ifm.", "reflectance")))
    assert all(value for name, value in gradients.items() if name.startswith("illuminationRec."))


def test_weights_weigh_the_losses_and_samples_do_not_mix() -> None:
    plain, doubled = (
        IntrinsicMethod(**SMALL, **options, seed=0).update(small_batch())
        for options in ({}, {"reflectance_weight": 20, "smoothness_weight": 1})
    )
    expected = plain["total"] + plain["reflectance_gradient"] - 0.9 * plain["illumination_smoothness"]
    torch.testing.assert_close(doubled["total"], expected)
    method, batch = IntrinsicMethod(**SMALL, seed=0), small_batch()[Domain.REAL]
    both = method.harmonize(batch.composite, batch.foreground_mask)
    alone = method.harmonize(batch.composite[1:], batch.foreground_mask[1:])
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize("attention_blocks", [0, 2])
def test_released_files_tell_the_size(tmp_path: Path, attention_blocks: int) -> None:
    method = IntrinsicMethod(**{**SMALL, "attention_blocks": attention_blocks}, seed=0)
    torch.save(method.released_state_dict(), tmp_path / "latest_net_G.pth")
    state = read_pth(tmp_path / "latest_net_G.pth")
    again = method_of_one_network(state, "file")
    assert isinstance(again, IntrinsicMethod)
    assert again.options == method.options
    assert all(torch.equal(again.released_state_dict()[key], state[key]) for key in state)
    del state["lighting.light_mlp.fc.bias"]
    with pytest.raises(WeightsError, match=r"^file .*missing: lighting\.light_mlp\.fc\.bias"):
        method_of_one_network(state, "file")


def test_sides_that_the_network_cannot_halve_are_refused() -> None:
    method = IntrinsicMethod(**SMALL, seed=0)
    with pytest.raises(ValueError, match=r"\(36, 32\), expected multiples of 8"):
        method.harmonize(torch.zeros(1, 3, 36, 32), torch.zeros(1, 1, 36, 32))
    with pytest.raises(ValueError, match="foreground_mask has shape"):
        method.harmonize(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 16, 32))
