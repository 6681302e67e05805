"""Updates on a GPU; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from charmnet.batch import HarmonizationBatch
from charmnet.methods import METHODS, CharmNetMethod, CudaGraphUpdate, Method
from charmnet.methods.cuda_graph import UPDATES_BEFORE_RECORDING
from charmnet.vocabulary import Domain
from charmnet.weights import load_checkpoint, save_checkpoint
from pipelines.benchmarks.tensors import batches_in_memory
from pipelines.training.parallel import wrap_module
from tests.method_variants import VARIANTS, build_variant

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

Batches = dict[Domain, HarmonizationBatch]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Float32 as on a CPU, and the same sums each time."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = before


def on_gpu(seed: int) -> Batches:
    return {domain: batch.to("cuda") for domain, batch in batches_in_memory(4, seed).items()}


def weights(method: Method) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for m in method.modules.values() for p in m.parameters()]).cpu()


@pytest.mark.parametrize("name", VARIANTS)
def test_an_update_is_that_of_a_cpu(name: str) -> None:
    here, there = build_variant(name, width=16, seed=0), build_variant(name, width=16, seed=0).to("cuda")
    for seed in range(3):
        on_cpu = here.update(batches_in_memory(4, seed))
        moved = there.update(on_gpu(seed))
        for metric, value in on_cpu.items():
            assert moved[metric].item() == pytest.approx(value.item(), rel=1e-2, abs=1e-3), (metric, seed)


CAPTURABLE = [name for name in VARIANTS if METHODS[VARIANTS[name][0]].requirements.capturable]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", CAPTURABLE)
def test_a_replayed_update_is_the_update(name: str, precision: str) -> None:
    options = {"width": 16, "seed": 0, "precision": precision}
    plain, replayed = (build_variant(name, **options).to("cuda") for _ in range(2))
    replay = CudaGraphUpdate(replayed)
    seen = []
    for seed in range(UPDATES_BEFORE_RECORDING + 4):
        factor = 1.0 / (1 + seed)
        for method in (plain, replayed):
            method.scale_learning_rates(factor)
        expected, metrics = plain.update(on_gpu(seed)), replay(on_gpu(seed))
        assert metrics.keys() == expected.keys()
        for metric, value in expected.items():
            assert metrics[metric].item() == pytest.approx(value.item(), rel=2e-2, abs=2e-3), (metric, seed)
        seen.append(metrics["total"])
    assert len({value.item() for value in seen}) == len(seen), "an earlier step's values stay as they were"
    assert (weights(plain) - weights(replayed)).abs().mean() < 1e-5
    assert replayed.learning_rates == plain.learning_rates
    assert all(type(rate) is float for rate in replayed.learning_rates.values()), "as checkpoints hold them"


def test_compiled_networks_learn_as_they_do_else() -> None:
    plain, compiled = (CharmNetMethod(width=16, seed=0).to("cuda") for _ in range(2))
    compiled.distribute(partial(wrap_module, True, 1))
    replay = CudaGraphUpdate(compiled)
    for seed in range(UPDATES_BEFORE_RECORDING + 2):
        expected, metrics = plain.update(on_gpu(seed)), replay(on_gpu(seed))
        for metric, value in expected.items():
            assert metrics[metric].item() == pytest.approx(value.item(), rel=2e-2, abs=2e-3), (metric, seed)
    assert (weights(plain) - weights(compiled)).abs().mean() < 1e-5
    buffers = [torch.cat([b.float().flatten() for b in m.generator.buffers()]) for m in (plain, compiled)]
    assert torch.allclose(*buffers, rtol=1e-2, atol=1e-3)


def test_a_replay_hears_of_a_learning_rate() -> None:
    method = CharmNetMethod(width=8, seed=0).to("cuda")
    replay = CudaGraphUpdate(method)
    for seed in range(UPDATES_BEFORE_RECORDING + 1):
        replay(on_gpu(seed))
    before = weights(method)
    method.scale_learning_rates(0.0)
    replay(on_gpu(9))
    assert torch.equal(weights(method), before)
    method.scale_learning_rates(1.0)
    replay(on_gpu(9))
    assert not torch.equal(weights(method), before)


def test_a_replay_takes_the_whole_batch_in_the_recorded_shape_alone() -> None:
    replay = CudaGraphUpdate(CharmNetMethod(width=8, seed=0).to("cuda"))
    for seed in range(UPDATES_BEFORE_RECORDING + 1):
        replay(on_gpu(seed))
    smaller = {domain: batch.to("cuda") for domain, batch in batches_in_memory(2).items()}
    with pytest.raises(ValueError, match="recorded"):
        replay(smaller)
    with pytest.raises(ValueError, match="share"):
        replay(on_gpu(0), 0.5)


def test_a_checkpoint_of_a_replayed_run_goes_on_like_the_run(tmp_path: Path) -> None:
    method = CharmNetMethod(width=8, seed=0).to("cuda")
    replay = CudaGraphUpdate(method)
    for seed in range(UPDATES_BEFORE_RECORDING + 2):
        replay(on_gpu(seed))
    save_checkpoint(tmp_path, method, {})
    restored, _ = load_checkpoint(tmp_path, "cuda")
    again = CudaGraphUpdate(restored)
    for seed in range(7, 7 + UPDATES_BEFORE_RECORDING + 2):
        one, other = replay(on_gpu(seed)), again(on_gpu(seed))
        assert one["total"].item() == pytest.approx(other["total"].item(), rel=1e-3)
    assert (weights(method) - weights(restored)).abs().mean() < 1e-5


@pytest.mark.parametrize("replayed", [False, True])
def test_nothing_is_waited_for_from_bytes_to_metrics(replayed: bool) -> None:
    method = CharmNetMethod(width=8, seed=0).to("cuda")
    update = CudaGraphUpdate(method) if replayed else method.update
    for seed in range(UPDATES_BEFORE_RECORDING + 2):
        update(on_gpu(seed))
    random = np.random.default_rng(0)
    pixels = [random.integers(256, size=(4, 256, 256, 3), dtype=np.uint8) for _ in range(2)]
    mask = random.integers(2, size=(4, 256, 256), dtype=np.uint8)
    styles = random.random((4, 10), dtype=np.float32), random.integers(10, size=4)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        tensors = [torch.from_numpy(array) for array in (*pixels, mask)]
        labels = [torch.from_numpy(array) for array in styles]
        rendered = HarmonizationBatch.from_uint8(*tensors, *labels, device="cuda")
        real = HarmonizationBatch.from_uint8(*tensors, device="cuda")
        metrics = update({Domain.RENDERED: rendered, Domain.REAL: real})
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert metrics["total"].isfinite()


def test_bytes_become_the_same_floats_as_on_a_cpu() -> None:
    pixels = torch.randint(256, (2, 256, 256, 3), dtype=torch.uint8)
    mask = torch.randint(2, (2, 256, 256), dtype=torch.uint8)
    here, there = (HarmonizationBatch.from_uint8(pixels, pixels, mask, device=d) for d in ("cpu", "cuda"))
    assert torch.allclose(here.composite, there.composite.cpu(), atol=1e-6)
    assert torch.equal(here.foreground_mask, there.foreground_mask.cpu())
