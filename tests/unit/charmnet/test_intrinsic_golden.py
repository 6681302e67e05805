"""Intrinsic image harmonization and the Harmony Transformer against figures of the released code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from charmnet.methods import HarmonyTransformerMethod, IntrinsicMethod
from charmnet.networks.dht import DisentangledHarmonyTransformer, HarmonyTransformer
from charmnet.networks.iih import IntrinsicHarmonizer
from charmnet.networks.transformer import position_encoding
from charmnet.vocabulary import Domain
from tests.golden_support import (
    assert_figures,
    assert_released_layout,
    draws_agree,
    figures,
    ruled_batch,
    ruled_weights,
)

NETWORKS = {
    "IIH_G_v1": IntrinsicHarmonizer,
    "IIH_G_v2": lambda: IntrinsicHarmonizer(attention_blocks=0),
    "DHT_v1": DisentangledHarmonyTransformer,
    "HT_v1": HarmonyTransformer,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_released_layout(name: str) -> None:
    with torch.device("meta"):
        network: nn.Module = NETWORKS[name]()
    assert_released_layout(network, name)


def test_positions_are_encoded_as_released() -> None:
    golden = figures("dht")
    for name, side, step in (("pixel_pos", 64, 16), ("patch_pos", 32, 8)):
        encoding = position_encoding(side, side, torch.empty(256)).T.unflatten(1, (side, side))
        sample = encoding[::16, ::step, ::step].numpy()
        np.testing.assert_allclose(sample, golden[f"{name}_sample"], rtol=0, atol=1e-6)


def recorded(network: nn.Module) -> list[Any]:
    """Return a list that the network's outputs are added to."""
    outputs: list[Any] = []
    network.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    return outputs


@pytest.mark.full_size
@pytest.mark.timeout(3600)  # minutes of a core to itself
def test_iih_gives_the_released_outputs_losses_and_gradient() -> None:
    golden, exact = figures("iih"), draws_agree()
    method = IntrinsicMethod.from_released(ruled_weights("IIH_G_v1"), dtype=torch.float64)
    batch = ruled_batch(torch.float64)
    outputs = recorded(method.modules["generator"])
    metrics = method.update({Domain.REAL: batch})
    (output,) = outputs
    mask = batch.foreground_mask
    pasted = output.pictures.harmonized * mask + batch.composite * (1 - mask)
    tensors = {
        **{name: getattr(output.pictures, name) for name in output.pictures._fields},
        "pasted": pasted,
        "ifm_mean": output.free_features,
        "match_score": output.match_scores,
        "refl_content": output.reflectance_features,
        "refl_rec": output.reflectance_guided,
        "ill_light": output.illumination_lit,
    }
    for name, tensor in tensors.items():
        assert_figures(golden, f"fp64_{name}", tensor, 1e-9 if exact else 1e-4)
    for name, code in (("light_fg", output.light_foreground), ("light_bg", output.light_background)):
        np.testing.assert_allclose(code.detach(), golden[f"fp64_{name}"], atol=1e-9 if exact else 1e-4)
    released = {
        "l1": "L1",
        "reflectance_gradient": "R_grad",
        "illumination_mse": "I_L2",
        "illumination_smoothness": "I_smooth",
        "free_features_dssim": "IF",
    }
    losses = {name: golden[f"fp64_loss_{theirs}"].item() for name, theirs in released.items()}
    for name, expected in {**losses, "total": sum(losses.values())}.items():
        assert metrics[name].item() == pytest.approx(expected, rel=1e-9 if exact else 1e-5), name
    norm = golden["fp64_gradnorm"].item()
    assert metrics["grad_norm_generator"].item() == pytest.approx(norm, rel=1e-8 if exact else 1e-3)


@pytest.mark.full_size
@pytest.mark.timeout(3600)  # minutes of a core to itself
def test_dht_gives_the_released_outputs_and_loss() -> None:
    golden, exact = figures("dht"), draws_agree()
    method = HarmonyTransformerMethod.from_released(ruled_weights("DHT_v1"), dtype=torch.float64)
    batch = ruled_batch(torch.float64)
    with torch.no_grad():
        output = method.modules["generator"](batch.composite, batch.foreground_mask)
    pictures, light = output
    for name in pictures._fields:
        assert_figures(golden, f"fp64_DHT_{name}", getattr(pictures, name), 1e-9 if exact else 1e-4)
    code = light.transpose(0, 1)[..., :16]  # the first channels
    np.testing.assert_allclose(code, golden["fp64_DHT_light_code"], atol=1e-9 if exact else 1e-4)
    loss = method.losses(output, batch)["l1"].item()
    assert loss == pytest.approx(golden["fp64_DHT_loss_L1x100"].item(), rel=1e-9 if exact else 1e-5)


@pytest.mark.full_size
@pytest.mark.timeout(3600)  # minutes of a core to itself
def test_ht_gives_the_released_output_and_loss() -> None:
    golden = figures("dht")
    method = HarmonyTransformerMethod.from_released(ruled_weights("HT_v1"))
    assert not method.options.disentangled
    batch = ruled_batch(torch.float32)
    with torch.no_grad():
        output = method.modules["generator"](batch.composite, batch.foreground_mask)
    assert_figures(golden, "fp32_HT_harmonized", output, 1e-4)
    loss = method.losses(output, batch)["l1"].item()
    assert loss == pytest.approx(golden["fp32_HT_loss_L1x100"].item(), rel=1e-5)
