"""Shapes, options and refusals of the networks."""

from __future__ import annotations

import pytest
import torch

from charmnet import CharmNet
from charmnet.methods import build_method
from charmnet.networks.batch_norm import DomainBatchNorm2d
from charmnet.networks.blocks import split_channels, split_size
from charmnet.networks.discriminator import FeatureDiscriminator
from charmnet.networks.idih import IDIH
from charmnet.networks.style_classifier import StyleClassifier
from charmnet.vocabulary import Domain
from tests.golden_support import released_keys

RELEASED_PARAMETERS = {2: 8_469_768, 3: 8_732_488, 4: 9_257_544, 5: 10_307_272}


def layout(network: torch.nn.Module) -> list[tuple[str, list[int]]]:
    return [(key, list(tensor.shape)) for key, tensor in network.state_dict().items()]


def test_state_dicts_have_the_released_layout() -> None:
    with torch.device("meta"):
        networks = {
            "CharmNet_G": CharmNet(),
            "CharmNet_D": FeatureDiscriminator(),
            "CharmNet_SC1": StyleClassifier(),
        }
        idih = IDIH()
    for name, network in networks.items():
        assert layout(network) == released_keys(name)
    assert [shape for _, shape in layout(idih)] == [shape for _, shape in released_keys("iDIH")]


@pytest.mark.parametrize("unshared_layers", RELEASED_PARAMETERS)
def test_other_splits_have_the_released_size_and_classifiers_that_fit(unshared_layers: int) -> None:
    with torch.device("meta"):
        network = CharmNet(unshared_layers=unshared_layers)
    assert sum(p.numel() for p in network.parameters()) == RELEASED_PARAMETERS[unshared_layers]
    channels, size = split_channels(8, unshared_layers), split_size(unshared_layers)
    small = CharmNet(width=8, unshared_layers=unshared_layers).eval()
    result = small(torch.randn(2, 3, 256, 256), torch.ones(2, 1, 256, 256), Domain.RENDERED)
    assert result.features_before.shape == result.features_after.shape == (2, channels, size, size)
    assert result.harmonized.shape == (2, 3, 256, 256)
    assert result.attention.shape == (2, 1, 256, 256)
    assert StyleClassifier(channels, 8)(result.features_after).shape == (2, 10)
    assert FeatureDiscriminator(channels, 8)(result.features_before).shape == (2, 1, size, size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unshared_layers": 1}, "2 to 5"),
        ({"unshared_layers": 6}, "2 to 5"),
        ({"width": 30}, "multiple of 4"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CharmNet(**options)


@pytest.mark.parametrize("size", [(255, 256), (512, 512), (64, 64)])
def test_other_input_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="256x256"):
        CharmNet(width=8)(torch.zeros(2, 3, *size), torch.zeros(2, 1, *size))


def test_initial_weights_are_those_of_each_method() -> None:
    torch.manual_seed(0)
    charmnet, idih = CharmNet(width=32), IDIH(width=32)
    weight = charmnet.encoder_blocks["block5"].block[0].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    norms = charmnet.encoder_blocks["block6"].block[1]
    assert norms.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert norms.bias.abs().max() == 0
    # fan-in = fan-out = 128 channels x 16 taps; the variance is two over their mean.
    weight = idih.encoder_blocks["block5"].block[0].weight
    assert weight.std().item() == pytest.approx((2 / (128 * 16)) ** 0.5, rel=0.02)
    assert torch.equal(idih.encoder_blocks["block6"].block[1].weight, torch.ones(256))


def test_attention_bias_starts_near_the_identity() -> None:
    composite, mask = torch.randn(2, 3, 256, 256), torch.ones(2, 1, 256, 256)
    kept = {
        bias: CharmNet(width=8, attention_bias=bias)(composite, mask).attention.mean().item()
        for bias in (0.0, 1.0)
    }
    assert kept[0.0] == pytest.approx(0.5, abs=0.1)
    assert kept[1.0] == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item(), abs=0.05)


@pytest.mark.parametrize("name", ["charmnet", "idih"])
def test_an_identity_start_is_the_composite_to_the_grey_level_and_learns(name: str) -> None:
    method = build_method(name, width=8, identity_start=True, seed=0)
    pixels = torch.arange(256 * 256 * 3).remainder(256).to(torch.uint8).view(1, 256, 256, 3)  # all levels
    mask = torch.zeros(1, 256, 256, dtype=torch.uint8)
    mask[:, :128] = 1
    composite, foreground = method.network_inputs(pixels.expand(2, -1, -1, -1), mask.expand(2, -1, -1))
    harmonized = method.to_unit_range(method.harmonize(composite, foreground)).mul(255).round()
    assert torch.equal(harmonized[0].permute(1, 2, 0), pixels[0].float())
    generator = method.modules["generator"].train()
    (generator(composite, foreground).harmonized + 1).square().sum().backward()
    heads = {
        key: p.grad for key, p in generator.named_parameters() if "real_dec.to_rgb" in key or "att" in key
    }
    real = {key: grad for key, grad in heads.items() if key.startswith("real_dec")}
    assert len(real) == 4
    assert all(grad.abs().min() > 0 for key, grad in real.items() if key.endswith("bias"))
    assert all(grad.any() for grad in real.values())


def test_an_identity_start_sets_its_own_bias() -> None:
    with pytest.raises(ValueError, match="identity_start=true with attention_bias=1: leave out one"):
        build_method("idih", identity_start=True, attention_bias=1)


def test_statistics_per_domain_change_testing_only() -> None:
    shared, separate = (CharmNet(width=8, domain_statistics=option) for option in (False, True))
    separate.load_state_dict(shared.state_dict(), strict=False)
    inputs = {
        domain: (torch.randn(2, 3, 256, 256) + i, torch.ones(2, 1, 256, 256))
        for i, domain in enumerate(Domain)
    }
    for domain in (Domain.RENDERED, Domain.REAL):
        expected, got = (network(*inputs[domain], domain).harmonized for network in (shared, separate))
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
    norm = separate.encoder_blocks["block4"].block[1]
    assert isinstance(norm, DomainBatchNorm2d)
    mixed = shared.encoder_blocks["block4"].block[1].running_mean
    # The shared one forgets a tenth of the rendered update when the real one comes.
    torch.testing.assert_close(mixed, 0.9 * norm.rendered.running_mean + norm.running_mean)
    assert norm.num_batches_tracked == norm.rendered.num_batches_tracked == 1
    shared.eval(), separate.eval()
    for domain in Domain:
        mixed, by_domain = (network(*inputs[domain], domain).harmonized for network in (shared, separate))
        assert not torch.allclose(by_domain, mixed)


def test_kaiming_has_a_variance_of_two_over_the_fan_in() -> None:
    networks = build_method("charmnet", width=32, initialization="kaiming", seed=0).modules
    weight = networks["generator"].encoder_blocks["block5"].block[0].weight  # [128,128,4,4]
    assert weight.std().item() == pytest.approx((2 / (128 * 16)) ** 0.5, rel=0.02)
    weight = networks["discriminator"].net[0].weight  # [32,64,3,3], initialised alike
    assert weight.std().item() == pytest.approx((2 / (weight.shape[1] * 9)) ** 0.5, rel=0.05)
