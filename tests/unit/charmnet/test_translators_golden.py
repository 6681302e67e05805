"""CycleGAN, CUT and UNIT against figures of the released code, in double precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from charmnet.batch import HarmonizationBatch
from charmnet.methods import CUTMethod, CycleGANMethod, UNITMethod, build_method
from charmnet.methods.translation import DOMAINS, TranslationMethod
from charmnet.networks.cut import BlurDown, BlurredDiscriminator, BlurUp
from charmnet.networks.cyclegan import PatchDiscriminator
from charmnet.networks.state import load_strictly
from charmnet.networks.unit import ScaledDiscriminator
from charmnet.vocabulary import Domain
from tests.golden_support import (
    assert_figures,
    assert_released_layout,
    draw,
    figures,
    ruled_mask,
    ruled_weights,
    tolerance,
)

RENDERED, REAL = Domain.RENDERED, Domain.REAL
RELEASED = {
    ("cyclegan", "generator_real"): ("CycleGAN_G", 1000),
    ("cyclegan", "generator_rendered"): ("CycleGAN_G", 2000),
    ("cyclegan", "discriminator_real"): ("CycleGAN_D", 1000),
    ("cyclegan", "discriminator_rendered"): ("CycleGAN_D", 2000),
    ("cut", "generator"): ("CUT_G", 1000),
    ("cut", "discriminator"): ("CUT_D", 1000),
    ("cut", "projection"): ("CUT_F", 1000),
    ("unit", "generator_rendered"): ("UNIT_gen", 1000),
    ("unit", "generator_real"): ("UNIT_gen", 2000),
    ("unit", "discriminator_rendered"): ("UNIT_dis", 1000),
    ("unit", "discriminator_real"): ("UNIT_dis", 2000),
}
"""Released name and first seed of the weights of each network, by method and name."""


@pytest.mark.parametrize(("method_name", "network"), RELEASED)
def test_networks_have_the_released_names_and_sizes(method_name: str, network: str) -> None:
    released = RELEASED[method_name, network][0]
    with torch.device("meta"):
        module = build_method(method_name).modules[network]
    assert_released_layout(module, released)


def ruled(name: str) -> TranslationMethod:
    method = build_method(name, precision="float64")
    assert isinstance(method, TranslationMethod)
    for (method_name, network), (released, base) in RELEASED.items():
        if method_name == name:
            module = method.modules[network]
            state = {**module.state_dict(), **ruled_weights(released, base)}  # blurs are constant
            load_strictly(module, state, network)
    return method


def pictures() -> dict[Domain, Tensor]:
    return {domain: draw(2, 3, 256, 256, seed=seed).double() for domain, seed in ((RENDERED, 7), (REAL, 8))}


def batches() -> dict[Domain, HarmonizationBatch]:
    return {
        domain: HarmonizationBatch(image, image, ruled_mask().double())
        for domain, image in pictures().items()
    }


def assert_values(golden: dict[str, np.ndarray], values: dict[str, Tensor], names: dict[str, str]) -> None:
    for name, released in names.items():
        assert values[name].item() == pytest.approx(golden[released].item(), rel=tolerance()), name


def test_blurs_are_the_released_ones() -> None:
    golden = figures("translators")
    features = draw(2, 8, 32, 32, seed=13).double()
    for name, blur, step in (("blur_down", BlurDown(8), 4), ("blur_up", BlurUp(8), 8)):
        output = blur(features)
        np.testing.assert_allclose(output[..., ::step, ::step].numpy(), golden[name], atol=tolerance())
        assert output.std(correction=0).item() == pytest.approx(
            golden[f"{name}__std"].item(), rel=tolerance()
        )


@torch.no_grad()
def test_discriminators_give_the_released_scores() -> None:
    golden = figures("translators")
    for released, discriminator, name in (
        ("CycleGAN_D", PatchDiscriminator(), "cyc_D_output"),
        ("CUT_D", BlurredDiscriminator(), "cut_D_output"),
        ("UNIT_dis", ScaledDiscriminator(), "unit_dis_scale"),
    ):
        module = discriminator.double()
        load_strictly(module, {**module.state_dict(), **ruled_weights(released)}, released)
        scores = module(pictures()[REAL])
        if isinstance(scores, list):
            for scale, part in enumerate(scores):
                assert_figures(golden, f"{name}{scale}", part, tolerance())
        else:
            assert_figures(golden, name, scores, tolerance())


@pytest.mark.full_size
@pytest.mark.timeout(1800)
@torch.no_grad()
def test_cyclegan_gives_the_released_outputs_and_losses() -> None:
    golden = figures("translators")
    method = ruled("cyclegan")
    assert isinstance(method, CycleGANMethod)
    losses, translated = method._generator_losses(pictures())
    assert_figures(golden, "cyc_G_output", translated[REAL], tolerance())
    released = {"adversarial_real": "cyc_loss_G_A", "adversarial_rendered": "cyc_loss_G_B"}
    assert_values(golden, losses, released)
    weighted = {name: losses[name] * (10 if name.startswith("cycle") else 5) for name in losses}
    released = {"cycle_rendered": "cyc_loss_cycle_A", "cycle_real": "cyc_loss_cycle_B"}
    released |= {"identity_real": "cyc_loss_idt_A", "identity_rendered": "cyc_loss_idt_B"}
    assert_values(golden, weighted, released)
    _, values = method._discriminator_losses(pictures(), translated)
    released = {"discriminator_real": "cyc_loss_D_A", "discriminator_rendered": "cyc_loss_D_B"}
    assert_values(golden, values, released)


@pytest.mark.full_size
@pytest.mark.timeout(1800)
@torch.no_grad()
def test_cut_gives_the_released_outputs_and_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = figures("translators")
    method = ruled("cut")
    assert isinstance(method, CUTMethod)
    outputs, features = method._outputs(method._joined(batches()))
    for name, output in zip(("cut_G_output", "cut_G_idt"), outputs.chunk(2), strict=True):
        assert_figures(golden, name, output, tolerance())
    for tap, maps in zip((0, 4, 8, 12, 16), features, strict=True):
        sampled = maps.chunk(2)[0][:, :8, ::32, ::32]
        np.testing.assert_allclose(sampled.numpy(), golden[f"cut_feat{tap}"], atol=tolerance())
    monkeypatch.setattr(method, "_draw_positions", Positions())
    losses = method._generator_losses(outputs, features)
    released = {"nce_rendered": "cut_loss_NCE", "nce_real": "cut_loss_NCE_Y"}
    assert_values(golden, losses, {**released, "adversarial": "cut_loss_G_GAN", "total": "cut_loss_G"})
    monkeypatch.setattr(method, "step", lambda _: None)
    with torch.enable_grad():
        metrics = method._update_discriminator(batches(), (outputs, features), 1.0)
    assert_values(golden, metrics, {"discriminator": "cut_loss_D"})


class Positions:
    """Positions of the figures: NumPy's, from a seed for each of the two losses."""

    def __init__(self) -> None:
        self._taken = 0

    def __call__(self, maps: Tensor) -> Tensor:
        """Return the next tap's positions."""
        if self._taken % 5 == 0:
            self._random = np.random.RandomState(self._taken // 5)
        self._taken += 1
        return torch.from_numpy(self._random.permutation(maps.shape[2] * maps.shape[3])[:256])


@pytest.mark.full_size
@pytest.mark.timeout(1800)
@torch.no_grad()
def test_unit_gives_the_released_outputs_and_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = figures("translators")
    method = ruled("unit")
    assert isinstance(method, UNITMethod)
    code = method._generator(RENDERED).enc(pictures()[RENDERED])
    assert_figures(golden, "unit_hidden", code, tolerance())
    assert_figures(golden, "unit_recon_eval", method._generator(RENDERED).dec(code), tolerance())
    assert_figures(golden, "unit_translate_a2b", method._generator(REAL).dec(code), tolerance())
    with monkeypatch.context() as patch:
        patch.setattr(method, "_draw_noise", Noise())
        losses = method._generator_losses(pictures())
        patch.setattr(method, "_draw_noise", Noise())
        _, values = method._discriminator_losses(pictures(), method._translated(pictures()))
    for domain, letter, cycle in zip(DOMAINS, "ab", ("aba", "bab"), strict=True):
        released = {
            f"reconstruction_{domain}": f"unit_loss_recon_{letter}",
            f"kl_{domain}": f"unit_loss_kl_{letter}",
            f"cycle_{domain}": f"unit_loss_cyc_{letter}",
            f"cycle_kl_{domain}": f"unit_loss_kl_{cycle}",
            f"adversarial_{domain}": f"unit_loss_adv_{letter}",
        }
        assert_values(golden, losses, released)
        assert_values(golden, values, {f"discriminator_{domain}": f"unit_loss_dis_{letter}"})


class Noise:
    """Noise of the figures, by seeds that count up."""

    def __init__(self) -> None:
        self._seeds: Iterator[int] = iter(range(20, 24))

    def __call__(self, code: Tensor) -> Tensor:
        """Return the next noise of a code's shape."""
        return draw(*code.shape, seed=next(self._seeds)).double()
