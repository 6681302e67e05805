"""Requests of methods to the training system, shown with toy methods and CharmNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from charmnet.averaging import WeightAverage
from charmnet.batch import HarmonizationBatch, denormalize, normalize
from charmnet.codecs import encode_png
from charmnet.errors import WeightsError
from charmnet.full_size import harmonize_full_size
from charmnet.methods import METHODS, CharmNetMethod, IDIHMethod, Method, Requirements, build_method
from charmnet.methods.seeding import seed_update
from charmnet.vocabulary import Domain
from charmnet.weights import AVERAGE_FILE, STATE_FILE, load_checkpoint, load_into, save_checkpoint, snapshot
from pipelines.evaluation.images import row_images
from pipelines.evaluation.scoring import network_inputs
from tests.golden_support import ruled_batches
from tests.method_variants import build_variant, cut
from tests.synthetic_datasets import pair_rows
from tests.toy_methods import POOL_SIZE, ToyHarmonizer, ToyTranslator, Untrained

SIDE = 16


def toy_batch(step: int, samples: int = 4) -> dict[Domain, HarmonizationBatch]:
    random = torch.Generator().manual_seed(step)
    pixels = torch.randint(0, 256, (2, samples, SIDE, SIDE, 3), generator=random, dtype=torch.uint8)
    mask = torch.randint(0, 256, (samples, SIDE, SIDE), generator=random, dtype=torch.uint8)
    batch = HarmonizationBatch.from_uint8(*pixels, mask, value_range="symmetric", soft_mask=True)
    return {Domain.REAL: batch}


def train(method: ToyHarmonizer, first: int, last: int, worker: int = 0) -> None:
    for step in range(first, last):
        seed_update(7, step, worker)
        method.update(toy_batch(step))


def weights(method: Method) -> list[torch.Tensor]:
    return [tensor.clone() for module in method.modules.values() for tensor in module.state_dict().values()]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_an_update_draws_from_seed_step_and_worker_alone() -> None:
    whole = ToyHarmonizer(seed=1, penalty=1.0)
    train(whole, 0, 4)
    torch.rand(17)  # what others draw in between changes nothing
    again = ToyHarmonizer(seed=1, penalty=1.0)
    train(again, 0, 4)
    assert same(weights(whole), weights(again))
    other = ToyHarmonizer(seed=1, penalty=1.0)
    train(other, 0, 4, worker=1)
    assert not same(weights(whole), weights(other))


def test_a_run_that_was_cut_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Dropout, spectral norm's vectors, an image pool, momentum and the weights' average go on."""
    whole = ToyHarmonizer(seed=1, penalty=1.0)
    average = WeightAverage(whole, 0.9)
    for step in range(6):
        train(whole, step, step + 1)
        average.update(step)
        if step == 2:
            state = snapshot(whole, {"step": 3}, average=average, worker_states=[whole.extra_state()])
            for name, data in state.files():
                (tmp_path / name).write_bytes(data)
    resumed = ToyHarmonizer(seed=99, penalty=1.0)
    resumed_average = WeightAverage(resumed, 0.9)
    assert load_into(tmp_path, resumed, average=resumed_average)["step"] == 3
    for step in range(3, 6):
        train(resumed, step, step + 1)
        resumed_average.update(step)
    assert same(weights(whole), weights(resumed))
    assert torch.equal(whole.pool, resumed.pool)
    assert len(whole.pool) == POOL_SIZE
    assert same(list(average.state().values()), list(resumed_average.state().values()))


@pytest.mark.parametrize("name", ["iih", "dht"])
def test_a_published_method_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    batches = cut(ruled_batches(torch.float32), name, [Domain.REAL])
    whole = build_variant(name, width=4, seed=1)
    for step in range(3):
        seed_update(7, step, 0)
        whole.update(batches)
        if step == 1:
            save_checkpoint(tmp_path, whole, {"step": 2})
    resumed = build_variant(name, width=4, seed=99)
    assert load_into(tmp_path, resumed)["step"] == 2
    seed_update(7, 2, 0)
    resumed.update(batches)
    assert same(weights(whole), weights(resumed))
    loaded, _ = load_checkpoint(tmp_path)
    assert loaded.options == whole.options


def test_each_worker_gets_its_own_extra_state_back(tmp_path: Path) -> None:
    method = ToyHarmonizer(seed=1)
    pools = [{"pool": torch.full((1, 3, 4, 4), float(rank))} for rank in range(2)]
    for name, data in snapshot(method, {}, worker_states=pools).files():
        (tmp_path / name).write_bytes(data)
    for worker, pool in ((0, 0.0), (1, 1.0), (2, 0.0)):
        load_into(tmp_path, method, worker=worker)
        assert method.pool.unique().tolist() == [pool]
    with pytest.raises(WeightsError, match="no extra state"):
        IDIHMethod(width=4).load_extra_state(pools[0])
    save_checkpoint(tmp_path / "plain", IDIHMethod(width=4), {})
    assert not (tmp_path / "plain" / STATE_FILE).exists()


def test_the_average_is_what_is_loaded_to_be_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "toy", ToyHarmonizer)
    method = ToyHarmonizer(seed=1)
    average = WeightAverage(method, 0.5)
    expected = method.modules["generator"][0].weight.detach().clone()
    for step in range(5):
        train(method, step, step + 1)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * method.modules["generator"][0].weight.detach()
    trained = weights(method)
    with average.applied():
        torch.testing.assert_close(method.modules["generator"][0].weight.detach(), expected)
    assert same(weights(method), trained)
    for name, data in snapshot(method, {}, average=average).files():
        (tmp_path / name).write_bytes(data)
    assert (tmp_path / AVERAGE_FILE).exists()
    loaded, _ = load_checkpoint(tmp_path)
    torch.testing.assert_close(loaded.modules["generator"][0].weight.detach(), expected)
    average.restart()
    assert same(list(average.state().values()), trained)


def test_only_batch_norms_statistics_are_averaged_over_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two workers of which the other has zeros, everything that is averaged is halved."""
    monkeypatch.setattr("charmnet.networks.batch_norm.mean_over_workers", lambda value: value / 2)
    toy = ToyHarmonizer(seed=1)
    before = weights(toy)
    toy.synchronize_statistics()
    assert same(before, weights(toy)), "spectral norm's vectors are each worker's own"
    charmnet = CharmNetMethod(width=4, seed=0)
    before_buffers = {name: b.clone() for name, b in charmnet.generator.named_buffers()}
    charmnet.synchronize_statistics()
    for name, buffer in charmnet.generator.named_buffers():
        halved = name.endswith(("running_mean", "running_var"))
        assert torch.equal(buffer, before_buffers[name] / 2 if halved else before_buffers[name]), name


def test_inputs_have_the_range_that_a_method_asks_for() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    mask = torch.full((1, 1, 1), 51, dtype=torch.uint8)
    composite, soft = ToyHarmonizer(seed=0).network_inputs(pixels, mask)
    torch.testing.assert_close(composite.flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    torch.testing.assert_close(soft.flatten(), torch.tensor([0.2]))
    unit = ToyTranslator(seed=0).network_inputs(pixels)
    torch.testing.assert_close(unit.flatten(), torch.tensor([0.0, 0.2, 1.0]))
    for value_range in ("imagenet", "unit", "symmetric"):
        torch.testing.assert_close(denormalize(normalize(unit, value_range), value_range), unit)


def test_a_method_that_pastes_keeps_the_background() -> None:
    method = ToyHarmonizer(seed=0)
    composite = torch.rand(1, 3, SIDE, SIDE)
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., :8] = 1
    harmonized = method.harmonize(composite, mask)
    assert torch.equal(harmonized[..., 8:], composite[..., 8:])
    assert not torch.equal(harmonized[..., :8], composite[..., :8])
    assert torch.equal(harmonized, method.harmonize(composite, mask)), "dropout is off"
    assert method.modules["generator"].training


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    whole, parts = (ToyHarmonizer(seed=1, dropout=0.0) for _ in range(2))
    parts.configure_updates(accumulation=3)
    for method in (whole, parts):
        seed_update(0, 0, 0)
        metrics = method.update(toy_batch(0, samples=4))  # parts of 1, 1 and 2
        assert metrics["total"].isfinite()
    for a, b in zip(weights(whole), weights(parts), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["charmnet", "idih"])
def test_a_released_method_accumulates_and_clips(name: str) -> None:
    batches = {domain: _doubled(batch) for domain, batch in ruled_batches(torch.float32).items()}
    method = build_method(name, width=4, seed=0)
    method.configure_updates(accumulation=2, max_gradient_norm=1e-3)
    mean = method.generator.encoder_blocks["block4"].block[1].running_mean
    before = mean.clone()
    metrics = method.update({domain: batches[domain] for domain in method.domains})
    assert {"total", "grad_norm_generator"} <= set(metrics)
    assert all(value.isfinite() for value in metrics.values())
    assert not torch.equal(mean, before)
    for optimizer in method.optimizers.values():
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        assert torch.nn.utils.get_total_norm(gradients) == pytest.approx(1e-3, rel=1e-3)
    method.configure_updates(accumulation=4)
    with pytest.raises(ValueError, match="at least 2 in each backward pass"):
        method.update({domain: batches[domain] for domain in method.domains})


def _doubled(batch: HarmonizationBatch) -> HarmonizationBatch:
    return batch.map(lambda tensor: torch.cat([tensor, tensor]))


def test_the_discriminators_parts_leave_running_statistics_alone() -> None:
    method = CharmNetMethod(width=4, seed=0)
    before = {name: buffer.clone() for name, buffer in method.generator.named_buffers()}
    method._encoded_again(ruled_batches(torch.float32))
    for name, buffer in method.generator.named_buffers():
        assert name.endswith("num_batches_tracked") or torch.equal(buffer, before[name]), name


def test_a_translator_translates_and_learns() -> None:
    method = ToyTranslator(seed=0)
    grey, red = (torch.full((1, 8, 8, 3), value, dtype=torch.uint8) for value in (100, 0))
    red[..., 0] = 200
    mask = torch.ones(1, 8, 8, dtype=torch.uint8)
    batches = {
        Domain.RENDERED: HarmonizationBatch.from_uint8(grey, grey, mask, value_range="unit"),
        Domain.REAL: HarmonizationBatch.from_uint8(red, red, mask, value_range="unit"),
    }
    for _ in range(20):
        method.update(batches)
    translated = method.to_unit_range(method.translate(method.network_inputs(grey)))
    torch.testing.assert_close(translated, red.permute(0, 3, 1, 2) / 255, atol=0.02, rtol=0)


class _ShowMask(Untrained):
    """A method that paints the mask that it gets over the composite."""

    requirements = Requirements(value_range="unit", mask_edges="soft")

    def infer(self, composite: torch.Tensor, foreground_mask: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the mask in every channel."""
        return foreground_mask.expand_as(composite), None


def test_soft_edges_reach_a_network_in_evaluation_too(tmp_path: Path) -> None:
    (row,) = pair_rows(1)
    mask = np.zeros((200, 300), np.uint8)
    mask[50:150, 100:201] = 255
    row |= {"foreground_mask": encode_png(mask), **_pictures(mask.shape)}
    (image,) = row_images(row, mask_edges="soft")
    assert image.foreground_mask.max() == 255
    inner = set(np.unique(image.foreground_mask)) - {0, 255}
    assert inner, "edges are soft"
    _, soft = network_inputs(_ShowMask(), [image])
    assert soft.max() == 1
    (hard,) = row_images(row)
    assert set(np.unique(hard.foreground_mask)) == {0, 1}
    picture = np.full((*mask.shape, 3), 90, np.uint8)
    assert harmonize_full_size(_ShowMask(), picture, mask // 255).max() > 200


def _pictures(size: tuple[int, int]) -> dict[str, bytes]:
    picture = encode_png(np.full((*size, 3), 90, np.uint8))
    return {"composite": picture, "ground_truth": picture}
