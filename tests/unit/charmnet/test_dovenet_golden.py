"""DoveNet and RainNet against figures of the released code, in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from charmnet.methods import DoveNetMethod, RainNetMethod
from charmnet.methods.dovenet import RegionAdversarialMethod
from charmnet.networks.region_norm import RegionAwareNorm
from charmnet.vocabulary import Domain
from tests.golden_support import (
    assert_figures,
    assert_parameter_count,
    draw,
    figures,
    released_keys,
    ruled_batch,
    ruled_mask,
    ruled_weights,
    tolerance,
)

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
        assert_parameter_count(module, names[name])


def _empty(key: str, shape: list[int]) -> Tensor:
    return torch.empty(shape, dtype=torch.int64 if key.endswith("num_batches_tracked") else torch.float32)


def released(network: str, method: type[RegionAdversarialMethod]) -> RegionAdversarialMethod:
    """Return a full-size method in float64 with the figures' weights, whose memory is not kept."""
    weights = {name: ruled_weights.__wrapped__(network.format(name)) for name in ("G", "D")}
    return method.from_released(weights, torch.float64)


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
    golden, own, prefix = figures(figure), ruled_batch(), "instance_" if figure == "dovenet" else ""
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
    rtol = tolerance()
    for name, metric in LOSSES.items():
        assert metrics[metric].item() == pytest.approx(float(golden[f"fp64_{prefix}{name}"]), rel=rtol), name
    for name, metric in NORMS.items():
        expected = float(golden[f"fp64_{prefix}{name}"])
        assert metrics[metric].item() == pytest.approx(expected, rel=10 * rtol), name


@pytest.mark.full_size
@pytest.mark.timeout(1800)
def test_networks_with_batch_norms_have_the_released_outputs() -> None:
    golden, own, atol = figures("dovenet"), ruled_batch(), tolerance()
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
