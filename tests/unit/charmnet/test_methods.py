"""Methods as a training loop uses them: updates, options, refusals."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from charmnet.batch import HarmonizationBatch
from charmnet.errors import WeightsError
from charmnet.methods import CharmNetMethod, IDIHMethod, Method, build_method, metric_path
from charmnet.vocabulary import Domain
from tests.golden_support import draw, ruled_batches, ruled_charmnet, ruled_mask
from tests.method_variants import HARMONIZERS, VARIANTS, build_variant, cut


@pytest.fixture(scope="module")
def batches() -> dict:
    return ruled_batches(torch.float32)


WITHOUT_GRADIENT = {
    f"light_generator.transformer_dec.decoder.layers.0.{name}"
    for name in ("self_attn.in_proj_weight", "self_attn.out_proj.weight", "norm1.weight")
}
"""Weights of the Harmony Transformer whose tokens are zeros at the start, and so are their values."""


@pytest.mark.parametrize("name", HARMONIZERS)
def test_every_method_learns_and_harmonizes_through_the_same_seam(name: str, batches: dict) -> None:
    method = build_variant(name, width=8, learning_rate=1e-2, seed=0)
    assert build_method(name, **method.arguments).options == method.options
    before = {key: tensor.clone() for key, tensor in method.modules["generator"].state_dict().items()}
    batches = cut(batches, name, method.domains)
    metrics = method.update(batches)
    assert all(value.ndim == 0 and not value.requires_grad and value.isfinite() for value in metrics.values())
    assert {"total", "grad_norm_generator"} <= set(metrics)
    state = method.modules["generator"].state_dict()
    for key, parameter in method.modules["generator"].named_parameters():
        if key.endswith("block.0.bias") and key.replace("0.bias", "1.weight") in state:
            assert not parameter.grad.any(), f"{key}: the batch norm after it takes it away"
        elif key not in WITHOUT_GRADIENT:
            assert not torch.equal(parameter, before[key]), key
    composite, mask = batches[Domain.REAL].composite[:1], batches[Domain.REAL].foreground_mask[:1]
    harmonized, attention = method.harmonize_with_attention(composite, mask)
    assert harmonized.shape == composite.shape
    if attention is not None:
        assert 0 <= attention.min() <= attention.max() <= 1
    if method.requirements.pastes:
        assert torch.equal(harmonized * (1 - mask), composite * (1 - mask))
    assert all(module.training for module in method.modules.values())


WAITING = ("aten::item", "aten::nonzero")


@pytest.mark.parametrize("name", VARIANTS)
def test_an_update_never_waits_for_a_number(name: str, batches: dict) -> None:
    """On a device each would be a halt until all that is queued there is done."""
    method = build_variant(name, width=4, seed=0)
    batches = cut(batches, name, method.domains)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        method.update(batches)
    parents = {name: [e.cpu_parent.name for e in profiler.events() if e.name == name] for name in WAITING}
    # Adam's fused step reads its count, which lies with the parameters, on CPUs alone.
    assert {name: set(found) - {"aten::_fused_adam_"} for name, found in parents.items()} == {
        "aten::item": set(),
        "aten::nonzero": set(),
    }
    assert parents["aten::item"], "the profile shows them where there are any"


# torch's compiler warns of what it does itself.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("name", ["charmnet", "color_maps"])
def test_compiled_parts_learn_as_they_do_else(name: str, batches: dict) -> None:
    """The compiler traces the parts but makes no kernels, which take a minute; tests/gpu makes them."""
    plain, compiled = (build_variant(name, width=4, seed=0) for _ in range(2))
    compiled.distribute(partial(torch.compile, backend="eager", fullgraph=True))
    for _ in range(2):
        expected, metrics = plain.update(batches), compiled.update(batches)
        assert {n: v.item() for n, v in metrics.items()} == pytest.approx(
            {n: v.item() for n, v in expected.items()}, rel=1e-4
        )
    for ours, other in zip(compiled.generator.buffers(), plain.generator.buffers(), strict=True):
        assert torch.allclose(ours, other, rtol=1e-4)


def test_learning_rates_scale_from_where_they_began() -> None:
    method = CharmNetMethod(width=8, learning_rate=2e-4)
    for factor in (0.5, 0.1):
        method.scale_learning_rates(factor)
        assert method.learning_rates == pytest.approx(
            {"discriminator": 2e-4 * factor, "joint": 2e-4 * factor}
        )
        assert {group["lr"] for group in method.optimizers["joint"].param_groups} == {2e-4 * factor}


def test_a_seed_decides_the_start_and_leaves_the_global_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    same = [CharmNetMethod(width=8, seed=3).generator.state_dict() for _ in range(2)]
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(same[0][key], same[1][key]) for key in same[0])


def test_accuracies_count_right_sides(batches: dict) -> None:
    method = CharmNetMethod(width=8, seed=0)
    last = method.modules["discriminator"].net[4]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(1.0)
        method.modules["style_classifier_after"].net[12].weight.zero_()
        method.modules["style_classifier_after"].net[12].bias.copy_(torch.eye(10)[3])
    metrics = {name: value.item() for name, value in method.update(batches).items()}
    assert metrics["discriminator_accuracy_real"] == 1
    assert metrics["discriminator_accuracy_rendered"] == 0
    assert metrics["discriminator_accuracy"] == 0.5
    assert metrics["style_accuracy_after"] == 0.5, "every sample is taken for class 3; the labels are 3 and 7"


def test_metrics_have_their_groups(batches: dict) -> None:
    paths = {metric_path(name) for name in CharmNetMethod(width=8).update(batches)}
    assert {
        "loss/foreground_mse_real",
        "loss/discriminator",
        "loss/total",
        "discriminator/accuracy",
        "discriminator/accuracy_rendered",
        "style/accuracy_before",
        "optim/grad_norm_generator",
    } <= paths


@pytest.mark.parametrize("name", ["charmnet", "iih", "dht"])
def test_bf16_stays_near_float32(name: str, batches: dict) -> None:
    methods = [build_variant(name, width=8, precision=p, seed=0) for p in ("float32", "bf16")]
    full, half = (method.update(cut(batches, name, method.domains)) for method in methods)
    for name in full:
        if "accuracy" not in name:
            assert half[name].dtype == torch.float32
            assert half[name].item() == pytest.approx(full[name].item(), rel=0.1, abs=0.02), name


def test_batches_that_cannot_be_trained_on_are_refused(batches: dict) -> None:
    method = CharmNetMethod(width=8)
    with pytest.raises(ValueError, match="no batch of the rendered domain"):
        method.update({Domain.REAL: batches[Domain.REAL]})
    with pytest.raises(ValueError, match="at least 2"):
        method.update({**batches, Domain.REAL: first_sample(batches[Domain.REAL])})
    with pytest.raises(ValueError, match="composite_style"):
        method.update({**batches, Domain.RENDERED: batches[Domain.REAL]})


def first_sample(batch: HarmonizationBatch) -> HarmonizationBatch:
    return HarmonizationBatch(batch.composite[:1], batch.ground_truth[:1], batch.foreground_mask[:1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("charmnot", {}, "charmnet, .*idih"),
        ("idih", {"domain_statistics": True}, "no field domain_statistics"),
        ("charmnet", {"precision": "fp8"}, "float32, bf16"),
        ("idih", {"domain": "painted"}, "painted"),
    ],
)
def test_unknown_names_and_options_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_method(name, **options)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (CharmNetMethod(width=8, seed=1), CharmNetMethod(width=8, seed=2)),
        (IDIHMethod(width=8, seed=1, domain="rendered"), IDIHMethod(width=8, seed=2)),
    ],
    ids=["charmnet", "idih"],
)
def test_a_run_starts_from_another_of_its_kind(source: Method, target: Method) -> None:
    target.warm_start(source)
    inputs = draw(1, 3, 256, 256, seed=3), ruled_mask()[:1]
    assert torch.equal(target.harmonize(*inputs), source.harmonize(*inputs))
    assert not any(optimizer.state for optimizer in target.optimizers.values())


def test_a_start_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="idih cannot start from weights of charmnet"):
        IDIHMethod(width=8).warm_start(CharmNetMethod(width=8))
    with pytest.raises(WeightsError, match="wrong shape"):
        CharmNetMethod(width=8).warm_start(IDIHMethod(width=12))


def test_released_weights_tell_their_width_and_are_checked() -> None:
    small = CharmNetMethod(width=8, unshared_layers=3, domain_statistics=True).released_state_dicts()
    again = CharmNetMethod.from_released(small)
    assert (again.options.width, again.options.unshared_layers) == (8, 3)
    assert again.released_state_dicts().keys() == small.keys()
    states = ruled_charmnet()
    states["SC1"] = {key: tensor for key, tensor in states["SC1"].items() if key != "net.1.running_var"}
    with pytest.raises(WeightsError, match=r"SC1.*missing: net\.1\.running_var"):
        CharmNetMethod.from_released(states)
    with pytest.raises(WeightsError, match="expected those of"):
        CharmNetMethod.from_released({"G": states["G"]})


def test_labels_take_the_networks_precision_and_any_integers(batches: dict) -> None:
    rendered = batches[Domain.RENDERED]
    other_types = replace(
        rendered,
        composite_style=rendered.composite_style.double(),
        ground_truth_style=rendered.ground_truth_style.int(),
    )
    expected, got = (
        CharmNetMethod(width=8, seed=0).update({**batches, Domain.RENDERED: batch})
        for batch in (rendered, other_types)
    )
    assert {value.dtype for value in got.values()} == {torch.float32}
    assert got["total"] == expected["total"]


def test_classes_that_there_are_not_are_refused(batches: dict) -> None:
    for wrong in (torch.tensor([3, 10]), torch.tensor([-1, 3]), torch.tensor([1.0, 2.0])):
        with pytest.raises(ValueError, match="ground_truth_style"):
            replace(batches[Domain.RENDERED], ground_truth_style=wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMONIZERS)
def test_a_method_that_is_not_trained_does_not_load_the_compiler(name: str) -> None:
    code = (
        f"import sys; from charmnet.methods import build_method; method = build_method({name!r}, width=4);"
        "import torch; method.harmonize(torch.zeros(1, 3, 256, 256), torch.ones(1, 1, 256, 256));"
        "assert 'torch._dynamo' not in sys.modules; assert method.learning_rates"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def test_weights_of_the_losses_weigh_them(batches: dict) -> None:
    plain, weighted = (
        CharmNetMethod(width=4, seed=0, **options).update(batches)
        for options in ({}, {"style_weight": 2, "adversarial_weight": 3, "reconstruction_weight": 5})
    )
    reconstruction = plain["foreground_mse_rendered"] + plain["foreground_mse_real"]
    expected = 2 * plain["style"] + 3 * plain["adversarial"] + 0.5 * reconstruction
    # The discriminator's step comes first and is the same in both.
    torch.testing.assert_close(weighted["total"], expected)
    nothing = {"style_weight": 0, "adversarial_weight": 0, "reconstruction_weight": 0}
    assert CharmNetMethod(width=4, seed=0, **nothing).update(batches)["grad_norm_generator"] == 0


@pytest.mark.parametrize(
    ("option", "network", "metric"),
    [
        ("adversarial_weight", "discriminator", "discriminator"),
        ("style_weight", "style_classifier_before", "style"),
    ],
)
def test_a_loss_without_weight_costs_nothing(option: str, network: str, metric: str, batches: dict) -> None:
    method = build_variant("charmnet", width=8, seed=0, **{option: 0.0})

    def refuse(*_: object) -> None:
        raise AssertionError(f"{network} was used")

    handles = [module.register_forward_hook(refuse) for module in method.modules[network].modules()]
    before = {name: tensor.clone() for name, tensor in method.modules[network].state_dict().items()}
    metrics = method.update(batches)
    for handle in handles:
        handle.remove()
    assert metric not in metrics
    assert not any(name.startswith(f"grad_norm_{network}") for name in metrics)
    after = method.modules[network].state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert method.optimizers["joint"].state  # the generator learns


def test_shared_paths_have_one_encoder_and_one_decoder() -> None:
    shared, own = (build_variant("charmnet", width=8, seed=0, shared_paths=flag) for flag in (True, False))
    names = [set(method.modules["generator"].state_dict()) for method in (shared, own)]
    assert names[1] - names[0] == {name for name in names[1] if name.startswith(("render_enc", "render_dec"))}
    generator = shared.modules["generator"]
    assert generator.encoder(Domain.RENDERED) is generator.encoder(Domain.REAL)
    assert generator.decoder(Domain.RENDERED) is generator.decoder(Domain.REAL)
