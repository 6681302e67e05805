"""DoveNet and RainNet: layers, losses and updates, by hand."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.methods import DoveNetMethod, RainNetMethod
from charmnet.methods.dovenet import RegionAdversarialMethod
from charmnet.methods.gradients import gradient_penalty
from charmnet.methods.seeding import seed_update
from charmnet.networks.dovenet import DoveNet, PartialConv2d, RegionDiscriminator
from charmnet.networks.unet import UNet
from charmnet.vocabulary import Domain
from charmnet.weights import load_into, save_checkpoint
from tests.golden_support import ruled_batch
from tests.method_variants import build_variant, shares_by_content


def batch(samples: int = 2) -> HarmonizationBatch:
    return ruled_batch().sliced(0, samples)


def test_a_partial_convolution_makes_up_for_what_it_does_not_see() -> None:
    convolution = PartialConv2d(2, 1, 2, bias=True, normed=False)
    nn.init.ones_(convolution.weight)
    nn.init.constant_(convolution.bias, 0.5)
    seen = torch.zeros(1, 1, 9, 9)
    seen[..., :4, :4] = 1
    features = torch.where(seen > 0, 3.0, 1e6).expand(1, 2, 9, 9)  # what it is not to see is far off
    output, now_seen = convolution(features, seen)
    expected = torch.zeros(1, 1, 4, 4)
    expected[..., :2, :2] = 1
    assert torch.equal(now_seen, expected)
    torch.testing.assert_close(output, expected * (2 * 9 * 3.0 + 0.5))
    whole, unlimited = convolution(features)
    torch.testing.assert_close(whole, convolution(features, torch.ones(1, 1, 9, 9))[0])
    assert unlimited is None


def rectified_in_place(network: UNet, image: Tensor, mask: Tensor) -> Tensor:
    """Return a DoveNet's output as nested blocks make it whose first rectifier works in place."""

    def block(level: int, features: Tensor) -> Tensor:
        rectified = F.leaky_relu_(features, 0.2)  # the block's own input from here on
        down = network.down[level - 1](rectified)
        if level < 8:
            down = block(level + 1, network.down_norms[level - 2](down))
        up = network.up_norms[8 - level](network.up[8 - level](F.relu_(down)))
        joined = torch.cat([features, up], 1)
        if level > 4:
            return joined
        return torch.sigmoid(network.gates[4 - level](joined)) * joined

    inner = block(2, network.down[0](torch.cat([image, mask], 1)))
    return torch.tanh(network.to_image(F.relu_(inner)))


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_skips_are_rectified_as_by_a_layer_that_works_in_place(norm: Any) -> None:
    network, own = DoveNet(2, norm, dropout=0.0).double(), batch()
    for bias in (p for name, p in network.named_parameters() if name.endswith("bias")):
        nn.init.normal_(bias)
    with torch.no_grad():
        expected = rectified_in_place(network, own.composite, own.foreground_mask)
        output = network(own.composite, own.foreground_mask)
    torch.testing.assert_close(output, expected)


def penalty_by_hand(discriminator: nn.Module, own: HarmonizationBatch, output: Tensor) -> Tensor:
    shares = shares_by_content(own.ground_truth)
    between = (shares * own.ground_truth + (1 - shares) * output).requires_grad_()
    score = sum(discriminator(between, own.foreground_mask)) / 2
    gradient = torch.autograd.grad(score, between, torch.ones_like(score), create_graph=True)[0]
    lengths = (gradient.square().sum((1, 2, 3))).sqrt()
    return 10 * ((lengths - 1) ** 2).mean()


@pytest.mark.parametrize("name", ["dovenet", "rainnet"])
def test_an_update_is_its_steps_in_their_order(name: str) -> None:
    """Written down again with plain optimizers: weights, statistics and spectral norms' vectors after it."""
    method = build_variant(name, precision="float64", seed=0, learning_rate=1e-3)
    assert isinstance(method, RegionAdversarialMethod)
    own = batch()
    plain = {key: deepcopy(module) for key, module in method.modules.items()}
    optimizers = {
        key: torch.optim.Adam(module.parameters(), 1e-3, betas=(0.5, 0.999)) for key, module in plain.items()
    }
    metrics = method.update({Domain.REAL: own})

    generator, discriminator = plain.values()
    composite, truth, mask = own.composite, own.ground_truth, own.foreground_mask
    if name == "rainnet":
        composite = torch.where(mask > 0, composite, truth)
    output = generator(composite, mask)
    if name == "rainnet":
        output = torch.where(mask > 0, output, truth)
    made, genuine = discriminator(output.detach(), mask), discriminator(truth, mask)
    penalty = penalty_by_hand(discriminator, own, output.detach())
    hinge = sum((1 + score).clamp(min=0).mean() for score in made)
    hinge = hinge + sum((1 - score).clamp(min=0).mean() for score in genuine)
    (hinge + penalty).backward()
    optimizers["discriminator"].step()
    scores = discriminator(output, mask)
    loss = 100 * (output - truth).abs().mean() - scores[0].mean() - scores[1].mean()
    generator.zero_grad()
    loss.backward()
    optimizers["generator"].step()
    if name == "dovenet":
        discriminator(truth, mask)

    assert metrics["discriminator"].item() == pytest.approx((hinge + penalty).item(), rel=1e-12)
    assert metrics["total"].item() == pytest.approx(loss.item(), rel=1e-12)
    for key, module in plain.items():
        expected = module.state_dict()
        for entry, value in method.modules[key].state_dict().items():
            torch.testing.assert_close(value, expected[entry], rtol=1e-9, atol=1e-9, msg=f"{key}.{entry}")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_penaltys_gradient_is_the_mean_of_its_samples(layout: torch.memory_format) -> None:
    """Instance norms let no sample affect another, in the second derivative, too."""
    discriminator = RegionDiscriminator(2, "instance").double().eval()
    discriminator.to(memory_format=layout)  # type: ignore[call-overload]
    weights = [encoder.convolutions[0].weight_orig for encoder in (discriminator.whole, discriminator.region)]

    def gradient(first: int, last: int) -> list[Tensor]:
        own = batch().map(lambda tensor: tensor[first:last])
        picture = own.ground_truth.clone().requires_grad_()
        score = sum(discriminator(picture, own.foreground_mask))
        return list(torch.autograd.grad(gradient_penalty(score, picture), weights))

    for whole, *parts in zip(gradient(0, 2), gradient(0, 1), gradient(1, 2), strict=True):
        torch.testing.assert_close(whole, (parts[0] + parts[1]) / 2, rtol=1e-7, atol=0.0)


def test_dropout_is_off_in_evaluation_and_on_in_training() -> None:
    method, own = DoveNetMethod(width=2, precision="float64", seed=0), batch(1)
    once, again = (method.harmonize(own.composite, own.foreground_mask) for _ in range(2))
    assert torch.equal(once, again)
    generator = method.modules["generator"]
    assert generator.training
    with torch.no_grad():
        once, again = (generator(own.composite, own.foreground_mask) for _ in range(2))
    assert not torch.equal(once, again)


@pytest.mark.parametrize("name", ["dovenet", "rainnet"])
def test_a_run_that_was_cut_ends_with_the_same_bits(tmp_path: Any, name: str) -> None:
    """Vectors of spectral norms, dropout and the shares of the penalty go on where they were."""
    make = {"dovenet": DoveNetMethod, "rainnet": RainNetMethod}[name]
    whole, resumed = make(width=2, seed=0), make(width=2, seed=5)
    own = batch().to(dtype=torch.float32)
    for step in range(2):
        seed_update(3, step, 0)
        whole.update({Domain.REAL: own})
        if step == 0:
            save_checkpoint(tmp_path, whole, {"step": 1})
    load_into(tmp_path, resumed)
    seed_update(3, 1, 0)
    resumed.update({Domain.REAL: own})
    for key, module in whole.modules.items():
        state = module.state_dict()
        assert all(torch.equal(value, state[k]) for k, value in resumed.modules[key].state_dict().items())


def test_weights_of_the_losses_weigh_them() -> None:
    nothing = dict.fromkeys(
        ("reconstruction_weight", "adversarial_weight", "verification_weight", "penalty_weight"), 0.0
    )
    method = DoveNetMethod(width=2, seed=0, **nothing)
    metrics = method.update({Domain.REAL: batch().to(dtype=torch.float32)})
    assert metrics["grad_norm_generator"] == 0
    assert metrics["gradient_penalty"] == 0
    assert metrics["grad_norm_discriminator"] > 0


def test_pasting_is_the_authors_unless_it_is_chosen() -> None:
    own = batch(1).to(dtype=torch.float32)
    for method, kept in (
        (DoveNetMethod(width=2), False),
        (DoveNetMethod(width=2, paste=True), True),
        (RainNetMethod(width=2), True),
        (RainNetMethod(width=2, paste=False), False),
    ):
        output = method.harmonize(own.composite, own.foreground_mask)
        outside = own.foreground_mask == 0
        assert torch.equal(output * outside, own.composite * outside) == kept


def test_accumulated_parts_make_one_step() -> None:
    method = RainNetMethod(width=2, seed=0)
    method.configure_updates(accumulation=2, max_gradient_norm=1e-3)
    before = {key: value.clone() for key, value in method.modules["generator"].state_dict().items()}
    metrics = method.update({Domain.REAL: batch().to(dtype=torch.float32)})
    assert all(value.isfinite() for value in metrics.values())
    assert not torch.equal(method.modules["generator"].state_dict()["down.0.weight"], before["down.0.weight"])


def test_released_weights_of_another_width_or_kind_are_refused() -> None:
    states = RainNetMethod(width=2).released_state_dicts()
    assert RainNetMethod.from_released(states).options.width == 2
    with pytest.raises(WeightsError, match=r"released D of rainnet does not fit RegionDiscriminator"):
        RainNetMethod.from_released({**states, "D": RainNetMethod(width=3).released_state_dicts()["D"]})
    with pytest.raises(WeightsError, match="got weights of D, expected G of rainnet"):
        RainNetMethod.from_released({"D": states["D"]})
    with pytest.raises(WeightsError, match=r"width=1: expected at least 2"):
        RainNetMethod.from_released({"G": {**states["G"], "model_layer0.weight": torch.zeros(1, 3, 4, 4)}})


def test_a_discriminators_verdict_is_counted_by_kind() -> None:
    method = DoveNetMethod(width=2, seed=0)
    discriminator = method.modules["discriminator"]
    assert isinstance(discriminator, RegionDiscriminator)
    for head, bias in ((discriminator.score, 5.0), (discriminator.verification[4], -5.0)):
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, bias)
    metrics = method.update({Domain.REAL: batch().to(dtype=torch.float32)})
    found = {name: value.item() for name, value in metrics.items() if "accuracy" in name}
    assert found == {
        "discriminator_accuracy": 0.5,
        "discriminator_accuracy_harmonized": 0,
        "discriminator_accuracy_ground_truth": 1,
        "discriminator_accuracy_verification": 0.5,
        "discriminator_accuracy_verification_harmonized": 1,
        "discriminator_accuracy_verification_ground_truth": 0,
    }
