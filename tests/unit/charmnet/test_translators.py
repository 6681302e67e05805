"""CycleGAN, CUT and UNIT: their updates, pools, draws and pictures of any size."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.methods import METHODS, CUTMethod, CycleGANMethod, TranslationMethod, UNITMethod, build_method
from charmnet.methods.cut import patch_nce
from charmnet.methods.image_pool import ImagePool
from charmnet.methods.seeding import seed_update
from charmnet.methods.translation import ReleasedTranslator
from charmnet.methods.unit import mean_square
from charmnet.vocabulary import Domain
from charmnet.weights import load_into, snapshot
from tests.golden_support import draw
from tests.method_variants import TRANSLATORS

SIDE = 64


def batches(step: int = 0, samples: int = 2) -> dict[Domain, HarmonizationBatch]:
    mask = torch.ones(samples, 1, SIDE, SIDE, dtype=torch.float64)
    images = [draw(samples, 3, SIDE, SIDE, seed=10 * step + n).clamp(-1, 1).double() for n in range(4)]
    return {
        Domain.RENDERED: HarmonizationBatch(images[0], images[1], mask),
        Domain.REAL: HarmonizationBatch(images[2], images[3], mask),
    }


def small(name: str, kind: type[TranslationMethod] | None = None) -> TranslationMethod:
    method = (kind or METHODS[name])(width=4, blocks=2, precision="float64", seed=3)
    assert isinstance(method, TranslationMethod)
    return method


def weights(method: TranslationMethod) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": tensor.clone()
        for name, module in method.modules.items()
        for key, tensor in module.state_dict().items()
    }


def train(method: TranslationMethod, first: int, last: int) -> dict[str, Tensor]:
    for step in range(first, last):
        seed_update(5, step, 0)
        metrics = method.update(batches(step))
    return metrics


@pytest.mark.parametrize("name", TRANSLATORS)
def test_an_update_steps_every_weight_and_never_waits(name: str) -> None:
    method = small(name)
    assert build_method(name, **method.arguments).options == method.options
    before = weights(method)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        metrics = method.update(batches(samples=1))
    waiting = {e.cpu_parent.name for e in profiler.events() if e.name in ("aten::item", "aten::nonzero")}
    assert waiting <= {"aten::_fused_adam_"}
    assert all(value.ndim == 0 and not value.requires_grad and value.isfinite() for value in metrics.values())
    assert {"total", "discriminator", "discriminator_accuracy"} <= set(metrics)
    unchanged = {key for key, tensor in weights(method).items() if torch.equal(tensor, before[key])}
    assert all(key.endswith(("filt", "bias")) for key in unchanged)
    assert all(module.training for module in method.modules.values())


@pytest.mark.parametrize("name", TRANSLATORS)
def test_an_update_is_one_step_of_adam_down_the_losses(name: str) -> None:
    """Each network's weights, from gradients that are taken apart from the method's own code."""
    method, alone = small(name), small(name)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        method.update(batches())
        torch.manual_seed(1)
        expected = {"cyclegan": cyclegan_step, "cut": cut_step, "unit": unit_step}[name](alone)
    for key, tensor in weights(method).items():
        if not key.endswith("bias"):  # an instance norm takes most away: gradients of rounding errors alone
            torch.testing.assert_close(tensor, expected[key], rtol=1e-7, atol=1e-9, msg=key)


def adam_step(rate: float, decay: float, loss: Tensor, *networks: torch.nn.Module) -> None:
    """Make the first step of Adam, which is -rate * g / (|g| + 1e-8)."""
    parameters = list(chain.from_iterable(network.parameters() for network in networks))
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            decayed = gradient + decay * parameter
            parameter.sub_(rate * decayed / (decayed.abs() + 1e-8))


def own(domain: Domain) -> Tensor:
    return batches()[domain].ground_truth


def cyclegan_step(method: CycleGANMethod) -> dict[str, Tensor]:
    to_real, to_rendered = method.modules["generator_real"], method.modules["generator_rendered"]
    critic_real, critic_rendered = (
        method.modules[f"discriminator_{domain}"] for domain in ("real", "rendered")
    )
    a, b = own(Domain.RENDERED), own(Domain.REAL)
    fake_b, fake_a = to_real(a), to_rendered(b)
    loss = ((critic_real(fake_b) - 1) ** 2).mean() + ((critic_rendered(fake_a) - 1) ** 2).mean()
    loss = loss + 10 * F.l1_loss(to_rendered(fake_b), a) + 10 * F.l1_loss(to_real(fake_a), b)
    loss = loss + 5 * F.l1_loss(to_real(b), b) + 5 * F.l1_loss(to_rendered(a), a)
    adam_step(2e-4, 0, loss, to_real, to_rendered)
    loss = sum(
        ((critic(image) - 1) ** 2).mean() / 2 + (critic(fake.detach()) ** 2).mean() / 2
        for critic, image, fake in ((critic_real, b, fake_b), (critic_rendered, a, fake_a))
    )
    adam_step(2e-4, 0, loss, critic_real, critic_rendered)
    return weights(method)


def cut_step(method: CUTMethod) -> dict[str, Tensor]:
    generator, critic, projection = (method.modules[n] for n in ("generator", "discriminator", "projection"))
    a, b = own(Domain.RENDERED), own(Domain.REAL)
    fake, same = generator(a)[0], generator(b)[0]
    loss = (((critic(b) - 1) ** 2).mean() + (critic(fake.detach()) ** 2).mean()) / 2
    adam_step(2e-4, 0, loss, critic)
    contrasts = []
    for image, output in ((a, fake), (b, same)):
        keys, queries = generator(image)[1], generator(output)[1]
        for tap, (k, q) in enumerate(zip(keys, queries, strict=True)):
            positions = torch.randperm(k.shape[2] * k.shape[3])[:256]
            mlp = projection.get_submodule(f"mlp_{tap}")
            projected = (mlp(x.flatten(2)[..., positions].transpose(1, 2)) for x in (k.detach(), q))
            key, query = (x / (x.norm(dim=2, keepdim=True) + 1e-7) for x in projected)
            alike = torch.exp(query @ key.detach().transpose(1, 2) / 0.07)
            right = alike.diagonal(dim1=1, dim2=2)
            others = alike.sum(2) - right + math.exp(-10 / 0.07)
            contrasts.append(-(right / (right + others)).log().mean() / len(keys))
    loss = ((critic(fake) - 1) ** 2).mean() + sum(contrasts) / 2
    adam_step(2e-4, 0, loss, generator, projection)
    return weights(method)


def unit_step(method: UNITMethod) -> dict[str, Tensor]:
    gen_a, gen_b = method.modules["generator_rendered"], method.modules["generator_real"]
    dis_a, dis_b = method.modules["discriminator_rendered"], method.modules["discriminator_real"]
    a, b = own(Domain.RENDERED), own(Domain.REAL)

    def coded() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        h_a, h_b = gen_a.enc(a), gen_b.enc(b)
        return h_a, h_b, h_a + torch.randn_like(h_a), h_b + torch.randn_like(h_b)

    with torch.no_grad():
        _, _, z_a, z_b = coded()
        x_ba, x_ab = gen_a.dec(z_b), gen_b.dec(z_a)
    loss = sum(
        (critic**2).mean() + ((judged - 1) ** 2).mean()
        for dis, fake, image in ((dis_a, x_ba, a), (dis_b, x_ab, b))
        for critic, judged in zip(dis(fake), dis(image), strict=True)
    )
    adam_step(1e-4, 1e-4, loss, dis_a, dis_b)
    h_a, h_b, z_a, z_b = coded()
    x_ba, x_ab = gen_a.dec(z_b), gen_b.dec(z_a)
    h_ba, h_ab = gen_a.enc(x_ba), gen_b.enc(x_ab)
    z_ba = h_ba + torch.randn_like(h_ba)
    z_ab = h_ab + torch.randn_like(h_ab)
    loss = 10 * (F.l1_loss(gen_a.dec(z_a), a) + F.l1_loss(gen_b.dec(z_b), b))
    loss = loss + 10 * (F.l1_loss(gen_a.dec(z_ab), a) + F.l1_loss(gen_b.dec(z_ba), b))
    loss = loss + 0.01 * sum((h**2).mean() for h in (h_a, h_b, h_ba, h_ab))
    loss = loss + sum(((s - 1) ** 2).mean() for s in (*dis_a(x_ba), *dis_b(x_ab)))
    adam_step(1e-4, 1e-4, loss, gen_a, gen_b)
    return weights(method)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_run_that_was_cut_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """Pools, patches and noise go on."""
    whole = small(name)
    train(whole, 0, 2)
    for file, data in snapshot(whole, {}, worker_states=[whole.extra_state()]).files():
        (tmp_path / file).write_bytes(data)
    resumed = small(name)
    load_into(tmp_path, resumed)
    pools = {key: len(pool) for key, pool in resumed.extra_state().items()}
    assert pools == ({"pool_rendered": 4, "pool_real": 4} if name == "cyclegan" else {})
    for method in (whole, resumed):
        torch.rand(method.accumulation)  # what others draw changes nothing
        train(method, 2, 3)
    for key, tensor in weights(whole).items():
        assert torch.equal(weights(resumed)[key], tensor), key


@pytest.mark.parametrize("name", TRANSLATORS)
def test_accumulated_gradients_are_those_of_the_whole_batch(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same patches and noise in each part."""
    monkeypatch.setattr(UNITMethod, "_draw_noise", lambda _, code: torch.full_like(code, 0.1))
    monkeypatch.setattr(CUTMethod, "_draw_positions", lambda _, maps: torch.arange(maps[0, 0].numel())[:64])
    whole, parts = small(name), small(name)
    parts.configure_updates(accumulation=2)
    expected, metrics = (method.update(batches(samples=3)) for method in (whole, parts))
    for key, value in expected.items():
        torch.testing.assert_close(metrics[key], value, msg=key)
    for key, tensor in weights(parts).items():
        if not key.endswith("bias"):
            torch.testing.assert_close(tensor, weights(whole)[key], rtol=1e-7, atol=1e-9, msg=key)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_released_weights_tell_the_sizes_and_come_back(name: str) -> None:
    method, kind = small(name), METHODS[name]
    assert isinstance(method, ReleasedTranslator)
    assert issubclass(kind, ReleasedTranslator)
    states = method.released_state_dicts()
    again = kind.from_released(states, torch.float64)
    assert again.options == method.options
    assert all(torch.equal(weights(again)[key], tensor) for key, tensor in weights(method).items())
    translator = {key: states[key] for key in kind.released_inference}
    alone = kind.from_released(translator, torch.float64)
    picture = draw(1, 3, 32, 32, seed=1).double()
    assert torch.equal(alone.translate(picture), method.translate(picture))
    first = kind.released_inference[0]
    with pytest.raises(WeightsError, match=f"got weights of nothing, expected {first}"):
        kind.from_released({})
    with pytest.raises(WeightsError, match=f"got weights of .*, X, expected {first}"):
        kind.from_released({**states, "X": {}})
    with pytest.raises(WeightsError, match=r"^a\.pth: not the released layout"):
        kind.from_released({**states, first: {}}, sources={first: "a.pth"})
    for key in states:
        torn = dict(list(states[key].items())[:-1])
        with pytest.raises(WeightsError, match=f"^released {key} of {name} does not fit .*: missing: "):
            kind.from_released({**states, key: torn})


@pytest.mark.parametrize("name", TRANSLATORS)
def test_pictures_of_any_size_are_translated(name: str) -> None:
    method = small(name)
    for height, width in ((64, 48), (61, 43), (3, 5)):
        picture = draw(1, 3, height, width, seed=1).double().clamp(-1, 1)
        translated = method.translate(picture)
        assert translated.shape == picture.shape
        assert translated.abs().max() <= 1
    padded = F.pad(picture, (0, 3, 0, 5), mode="replicate")
    assert torch.equal(translated, method.translate(padded)[..., :3, :5])
    assert all(module.training for module in method.modules.values())


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_missing_domain_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="no batch of the real domain"):
        small(name).update({Domain.RENDERED: batches()[Domain.RENDERED]})


@pytest.mark.parametrize("name", TRANSLATORS)
def test_bf16_stays_near_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UNITMethod, "_draw_noise", lambda _, code: torch.zeros_like(code))
    monkeypatch.setattr(CUTMethod, "_draw_positions", lambda _, maps: torch.arange(maps[0, 0].numel())[:64])
    inputs = {domain: batch.to(dtype=torch.float32) for domain, batch in batches().items()}
    full, half = (
        build_method(name, width=8, blocks=2, precision=precision, seed=0).update(inputs)
        for precision in ("float32", "bf16")
    )
    for metric in full:
        assert half[metric].dtype == torch.float32
        if "accuracy" not in metric and "grad_norm" not in metric:
            assert half[metric].item() == pytest.approx(full[metric].item(), rel=0.1, abs=0.02), metric


def test_units_divergence_is_that_of_normal_distributions() -> None:
    """By numbers: the integral of p log(p/q) for N(h, 1) and N(0, 1) is h^2 / 2, of which twice is taken."""
    code = torch.tensor([[-1.5, 0.25, 2.0]], dtype=torch.float64)
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)[:, None]
    unit = torch.distributions.Normal(0.0, 1.0)
    shifted = torch.distributions.Normal(code, 1.0)
    density = shifted.log_prob(x).exp() * (shifted.log_prob(x) - unit.log_prob(x))
    divergence = torch.trapezoid(density, x[:, 0], dim=0)
    assert mean_square(code).item() == pytest.approx(2 * divergence.mean().item(), rel=1e-9)


def test_patches_are_told_apart_by_hand() -> None:
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    keys = torch.tensor([[[0.6, 0.8], [0.0, 1.0]]])
    # First query: 0.6 to its own, 0 to the other; second: 1 to its own, 0.8 to the other.
    losses = [
        -math.log(math.exp(own / 0.07) / (math.exp(own / 0.07) + math.exp(other / 0.07)))
        for own, other in ((0.6, 0.0), (1.0, 0.8))
    ]
    assert patch_nce(queries, keys).item() == pytest.approx(sum(losses) / 2, rel=1e-5)


@given(st.integers(1, 6), st.lists(st.integers(1, 5), max_size=12), st.integers(0, 3))
def test_a_pool_keeps_and_returns_what_it_was_given(size: int, sizes: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    pool, other = ImagePool(size), ImagePool(size)
    count = 0
    for number in sizes:
        images = torch.arange(count, count + number).float().view(-1, 1, 1, 1)
        first_exchange = max(0, size - count)
        count += number
        shown = pool.query(images)
        assert torch.equal(shown[:first_exchange], images[:first_exchange]), "it fills up"
        kept = pool.state().flatten().tolist()
        assert len(kept) == len(set(kept)) == min(size, count)
        assert set(shown.flatten().tolist()) | set(kept) <= set(range(count))
        assert set(images.flatten().tolist()) <= set(kept) | set(shown.flatten().tolist()), "none is lost"
        other.load_state(pool.state(), torch.device("cpu"))
        assert other.state().flatten().tolist() == kept


def test_a_pool_exchanges_half_of_the_pictures() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50)
    pool.query(torch.zeros(50, 1, 1, 1))
    shown = pool.query(torch.ones(1000, 1, 1, 1))
    assert 0 < (shown == 0).sum() <= 50
    assert (pool.state() == 1).all()


def test_a_pool_of_another_kind_is_refused() -> None:
    method = small("cyclegan")
    with pytest.raises(WeightsError, match="expected at most 50 pictures"):
        method.load_extra_state({"pool_rendered": torch.zeros(51, 3, 4, 4), "pool_real": torch.zeros(0)})
    with pytest.raises(WeightsError, match=r"cyclegan's extra state is \['pool'\]"):
        method.load_extra_state({"pool": torch.zeros(0)})
