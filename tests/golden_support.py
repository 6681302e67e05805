"""Golden figures, which the released code produced from weights and inputs made by rule."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from charmnet.batch import HarmonizationBatch
from charmnet.vocabulary import Domain

GOLDEN = Path(__file__).parent / "golden"


def figures(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


def released_keys(name: str) -> list[tuple[str, list[int]]]:
    return [(key, shape) for key, shape in _released_networks()[name]["keys"]]


def assert_released_layout(network: nn.Module, name: str) -> None:
    """Assert that a network, also one on the meta device, has the released names, shapes and size."""
    layout = [(key, list(tensor.shape)) for key, tensor in network.state_dict().items()]
    assert layout == released_keys(name)
    assert_parameter_count(network, name)


def assert_parameter_count(network: nn.Module, name: str) -> None:
    released = _released_networks()[name]["params"]
    assert sum(parameter.numel() for parameter in network.parameters()) == released


@cache
def _released_networks() -> dict:
    files = sorted(GOLDEN.glob("statedict_keys*.json"))
    return {name: network for file in files for name, network in json.loads(file.read_text()).items()}


@cache
def ruled_weights(name: str, base: int = 1000) -> dict[str, Tensor]:
    """Weights drawn entry by entry of the released layout, so that any implementation can have them.

    The same dictionary every time: not to be written to.
    """
    state = {}
    for i, (key, shape) in enumerate(released_keys(name)):
        x = draw(*shape, seed=base + i)
        last = key.rpartition(".")[2]
        if last == "filt":  # a constant of the network
            continue
        if last == "num_batches_tracked":
            state[key] = torch.zeros((), dtype=torch.int64)
        elif last == "running_var":
            state[key] = 1 + 0.1 * x.abs()
        elif last == "running_mean":
            state[key] = 0.1 * x
        elif last in ("weight_u", "weight_v"):  # of spectral norm
            state[key] = x / x.norm()
        elif last in ("weight", "gamma") and x.ndim == 1:
            state[key] = 1 + 0.1 * x
        else:
            state[key] = 0.05 * x
    return state


def ruled_charmnet() -> dict[str, dict[str, Tensor]]:
    return {name: ruled_weights(f"CharmNet_{name}") for name in ("G", "D", "SC1", "SC2")}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def draws_agree() -> bool:
    """Return whether this CPU draws the figures' numbers to the last bit; torch has several kernels."""
    return torch.equal(
        draw(2, 3, 256, 256, seed=7)[0, :, :4, :4], torch.from_numpy(figures("inputs")["composite_corner"])
    )


def tolerance() -> float:
    """Return the absolute tolerance of outputs in float64, and the relative one of losses."""
    return 1e-9 if draws_agree() else 1e-4


def ruled_mask() -> Tensor:
    mask = torch.zeros(2, 1, 256, 256)
    mask[0, :, 64:192, 80:200] = 1
    mask[1, :, 32:96, 32:160] = 1
    return mask


def ruled_batch(dtype: torch.dtype = torch.float64) -> HarmonizationBatch:
    """Return the pairs of the figures of networks that learn from one domain."""
    composite, ground_truth = (draw(2, 3, 256, 256, seed=seed) for seed in (7, 8))
    return HarmonizationBatch(composite, ground_truth, ruled_mask()).to(dtype=dtype)


def ruled_batches(dtype: torch.dtype) -> dict[Domain, HarmonizationBatch]:
    """Return the batches of the figures.

    The style label is stored: the rule (softmax of a draw) rounds differently from one kind of CPU to
    another, and ten steps make percents of that.
    """
    size = (2, 3, 256, 256)
    rendered = HarmonizationBatch(
        draw(*size, seed=7),
        draw(*size, seed=8),
        ruled_mask(),
        torch.from_numpy(figures("inputs")["composite_style"]),
        torch.tensor([3, 7]),
    )
    real = HarmonizationBatch(draw(*size, seed=17), draw(*size, seed=18), ruled_mask().flip(0))
    return {Domain.RENDERED: rendered.to(dtype=dtype), Domain.REAL: real.to(dtype=dtype)}


def sampled(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that the figures hold."""
    if tensor.ndim != 4:
        return tensor if tensor.numel() <= 512 else tensor.flatten()[:512]
    size = tensor.shape[-1]
    step = 16 if size >= 32 else 4 if size >= 8 else 1
    return tensor[:, :8, ::step, ::step]


def assert_figures(golden: dict[str, np.ndarray], name: str, tensor: Tensor, atol: float) -> None:
    """Assert that a tensor has the sampled values, shape, mean, deviation and extreme stored under `name`."""
    tensor = tensor.detach()
    assert list(tensor.shape) == golden[f"{name}__shape"].tolist(), name
    np.testing.assert_allclose(sampled(tensor).numpy(), golden[name], rtol=0, atol=atol, err_msg=name)
    for statistic, value in (
        ("mean", tensor.mean()),
        ("std", tensor.std(correction=0)),
        ("absmax", tensor.abs().max()),
    ):
        expected = golden[f"{name}__{statistic}"]
        np.testing.assert_allclose(
            value.item(), expected, rtol=atol, atol=atol, err_msg=f"{name} {statistic}"
        )
