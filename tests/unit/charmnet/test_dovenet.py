"""DoveNet and RainNet: networks, losses and updates, against figures of the released code and by hand."""

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
from charmnet.networks.region_norm import RegionAwareNorm
from charmnet.networks.unet import UNet
from charmnet.vocabulary import Domain
from charmnet.weights import load_into, save_checkpoint
from tests.golden_support import (
    assert_figures,
    draw,
    draws_agree,
    figures,
    parameter_count,
    released_keys,
    ruled_mask,
    ruled_weights,
)
from tests.method_variants import build_variant, shares_by_content

LOSSES = {
    "loss_D_fake_global": "discriminator_global_harmonized",
    "loss_D_fake_local": "discriminator_verification_harmonized",
    "loss_D_real_global": "discriminator_global_ground_truth",
    "loss_D_real_local": "discriminator_verification_ground_truth",
    "loss_D_gp": "gradient_penalty",
    "loss_G_global": "adversarial_global",
    "loss_G_local": "adversarial_verification",
    "loss_G_L1": "l1",
}
NORMS = {"D_gradnorm": "grad_norm_discriminator", "G_gradnorm": "grad_norm_generator"}


def batch(samples: int = 2) -> HarmonizationBatch:
    composite, ground_truth = (draw(2, 3, 256, 256, seed=seed).double() for seed in (7, 8))
    return HarmonizationBatch(composite, ground_truth, ruled_mask().double()).sliced(0, samples)


@pytest.mark.parametrize(
    ("network", "method"),
    [
        ("DoveNet_{}_batch", DoveNetMethod),
        ("DoveNet_{}_instance", DoveNetMethod),
        ("RainNet_{}", RainNetMethod),
    ],
)
def test_released_names_shapes_and_parameter_counts(
    network: str, method: type[RegionAdversarialMethod]
) -> None:
    with torch.device("meta"):
        names = {name: network.format(name) for name in ("G", "D")}
        states = {
            name: {key: _empty(key, shape) for key, shape in released_keys(released)}
            for name, released in names.items()
        }
        made = method.from_released(states)
    for name, module in zip(("G", "D"), made.modules.values(), strict=True):
        assert sum(parameter.numel() for parameter in module.parameters()) == parameter_count(names[name])


def _empty(key: str, shape: list[int]) -> Tensor:
    return torch.empty(shape, dtype=torch.int64 if key.endswith("num_batches_tracked") else torch.float32)


def released(network: str, method: type[RegionAdversarialMethod]) -> RegionAdversarialMethod:
    """Return a full-size method in float64 with the figures' weights, whose memory is not kept."""
    weights = {name: ruled_weights.__wrapped__(network.format(name)) for name in ("G", "D")}
    return method.from_released(weights, torch.float64)


def tolerance() -> float:
    return 1e-9 if draws_agree() else 1e-4


@pytest.mark.full_size
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("figure", "network", "method"),
    [("dovenet", "DoveNet_{}_instance", DoveNetMethod), ("rainnet", "RainNet_{}", RainNetMethod)],
)
def test_an_update_has_the_released_outputs_losses_and_gradients(
    figure: str, network: str, method: type[RegionAdversarialMethod], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the figures were made: dropout off, fixed shares for the penalty, no step of an optimizer."""
    golden, own, prefix = figures(figure), batch(), "instance_" if figure == "dovenet" else ""
    full = released(network, method)
    generator = full.modules["generator"].eval()
    with torch.no_grad():
        output = generator(own.composite, own.foreground_mask)
    assert_figures(golden, f"fp64_{prefix}G_eval_output", output, tolerance())
    if full.requirements.pastes:
        pasted = full.harmonize(own.composite, own.foreground_mask)
        assert_figures(golden, "fp64_G_eval_pasted", pasted, tolerance())
    shares = torch.tensor([0.3, 0.7], dtype=torch.float64).view(2, 1, 1, 1)
    monkeypatch.setattr(full, "draw_shares", lambda _: shares)
    monkeypatch.setattr(full, "step", lambda _: None)
    metrics = full.update({Domain.REAL: own})
    rtol = 1e-9 if draws_agree() else 1e-4
    for name, metric in LOSSES.items():
        assert metrics[metric].item() == pytest.approx(float(golden[f"fp64_{prefix}{name}"]), rel=rtol), name
    for name, metric in NORMS.items():
        expected = float(golden[f"fp64_{prefix}{name}"])
        assert metrics[metric].item() == pytest.approx(expected, rel=10 * rtol), name


@pytest.mark.full_size
@pytest.mark.timeout(1800)
def test_networks_with_batch_norms_have_the_released_outputs() -> None:
    golden, own, atol = figures("dovenet"), batch(), tolerance()
    full = released("DoveNet_{}_batch", DoveNetMethod)
    generator, discriminator = full.modules.values()
    with torch.no_grad():
        output = full.harmonize(own.composite, own.foreground_mask)
        assert_figures(golden, "fp64_batch_G_eval_output", output, max(atol, 1e-9))
        generator.dropout.eval()
        trained = generator(own.composite, own.foreground_mask)
        assert_figures(golden, "fp64_batch_G_trainBN_nodropout_output", trained, atol)
        for name in ("train1", "eval_after1"):
            discriminator.train(name == "train1")
            for kind, scores in zip(
                ("global", "local"), discriminator(own.ground_truth, own.foreground_mask), strict=True
            ):
                assert_figures(golden, f"fp64_batch_D_{name}_{kind}", scores, atol)


@pytest.mark.parametrize("name", ["RAIN_layer", "RAIN_layer_zeromask"])
def test_the_region_aware_norm_has_the_released_output(name: str) -> None:
    norm = RegionAwareNorm(16).double()
    for index, parameter in enumerate(norm.parameters()):
        parameter.data = (0.05 * draw(16, seed=4000 + index)).double()
    mask = ruled_mask().double() * (name == "RAIN_layer")
    with torch.no_grad():
        output = norm(draw(2, 16, 32, 32, seed=12).double(), mask)
    assert_figures(figures("rainnet"), f"fp64_{name}", output, tolerance())


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
