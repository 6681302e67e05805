"""The head of colour maps: where it starts, what it may change, and its size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charmnet.augment import resize
from charmnet.batch import HarmonizationBatch, denormalize, normalize
from charmnet.errors import DataError, WeightsError
from charmnet.full_size import harmonize_full_size
from charmnet.methods import build_method
from charmnet.networks.blocks import INPUT_SIZES
from charmnet.networks.charmnet import area_resized
from charmnet.networks.color_maps import apply_color_maps, maps_of_unit_range, region_statistics
from charmnet.vocabulary import NUM_CONDITIONS, Domain

METHODS = [
    ("idih", {}),
    ("idih", {"region_statistics": False}),
    ("charmnet", {"unshared_layers": 3}),
    ("charmnet", {"unshared_layers": 2}),
]


def affine(name: str = "idih", *, size: int = 96, **options: Any) -> Any:
    return build_method(name, width=8, head="affine", size=size, initialization="kaiming", seed=0, **options)


def trained(name: str = "idih", **options: Any) -> Any:
    """Return a method whose maps are not the identity."""
    method = affine(name, **options)
    for decoder in (m for m in method.generator.modules() if hasattr(m, "whole_map")):
        for layer in (decoder.whole_map, decoder.cell_maps):
            torch.nn.init.normal_(layer.weight, 0, 0.02)
    return method


def pictures(size: tuple[int, int], batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(size[0])
    mask = torch.zeros(batch, 1, *size)
    mask[:, :, size[0] // 4 : size[0] // 2, size[1] // 5 : size[1] // 2] = 1
    return normalize(torch.rand(batch, 3, *size, generator=random)), mask


def batches(size: int, count: int = 4) -> dict[Domain, HarmonizationBatch]:
    truth, mask = pictures((size, size), count)
    composite = truth + 0.3 * mask
    rendered = HarmonizationBatch(
        composite, truth, mask, torch.full((count, NUM_CONDITIONS), 0.1), torch.arange(count)
    )
    return {
        Domain.REAL: replace(rendered, composite_style=None, ground_truth_style=None),
        Domain.RENDERED: rendered,
    }


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_it_starts_at_exactly_the_identity(name: str, options: dict[str, Any]) -> None:
    method = affine(name, **options)
    for size in ((96, 96), (256, 256), (70, 133)):
        composite, mask = pictures(size)
        for domain in Domain if name == "charmnet" else (Domain.REAL,):
            method.generator.eval()
            assert torch.equal(method.generator(composite, mask, domain).harmonized, composite)


@pytest.mark.parametrize("size", INPUT_SIZES)
def test_it_works_at_every_size(size: int) -> None:
    method = trained(size=size)
    composite, mask = pictures((size, size), batch=1)
    assert method.size == size
    assert method.color_maps(composite, mask).shape == (1, 12, size // 8, size // 8)
    assert not torch.equal(method.harmonize(composite, mask), composite)


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_the_background_keeps_every_bit(name: str, options: dict[str, Any]) -> None:
    method = trained(name, **options)
    composite, mask = pictures((120, 200))
    harmonized = method.harmonize(composite, mask)
    outside = (mask == 0).expand_as(composite)
    assert torch.equal(harmonized[outside], composite[outside])
    assert (harmonized - composite).abs()[~outside].mean() > 1e-3


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_it_learns_a_shift_of_color(name: str, options: dict[str, Any]) -> None:
    method = affine(name, learning_rate=2e-3, **options)
    data = batches(96)
    first, *_, last = (method.update(data)["foreground_mse_real"] for _ in range(12))
    assert last < 0.7 * first


def test_full_size_is_what_the_network_gives_at_that_size() -> None:
    method = trained()
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (96, 96, 3), np.uint8)
    mask = np.zeros((96, 96), np.uint8)
    mask[20:70, 30:90] = 1
    inputs = method.network_inputs(torch.from_numpy(picture)[None], torch.from_numpy(mask * 255)[None])
    expected = method.to_unit_range(method.harmonize(*inputs))[0].mul(255).round().clamp(0, 255)
    result = harmonize_full_size(method, picture, mask)
    assert np.abs(result - expected.permute(1, 2, 0).numpy()).max() <= 1  # rounding
    large = np.kron(picture, np.ones((5, 5, 1), np.uint8))
    large_mask = np.kron(mask, np.ones((5, 5), np.uint8))
    enlarged = harmonize_full_size(method, large, large_mask)
    assert enlarged.shape == large.shape
    assert np.abs(enlarged[2::5, 2::5].astype(int) - result).max() <= 2  # the same maps at the same pixels
    assert (enlarged[large_mask == 0] == large[large_mask == 0]).all()


def test_maps_change_a_thin_foreground_but_not_one_that_vanishes() -> None:
    method = trained()
    picture = np.full((3000, 3000, 3), 90, np.uint8)
    thin, single = np.zeros((2, 3000, 3000), np.uint8)
    thin[:, 1510] = 1
    single[1510, 1510] = 1
    assert not resize(thin, method.size).any(), "without soft edges nothing of it is left"
    changed = harmonize_full_size(method, picture, thin) != picture
    assert changed[thin == 1].any()
    assert not changed[thin == 0].any()
    with pytest.raises(DataError, match=f"1 pixels, of which none is left at {method.size}x{method.size}"):
        harmonize_full_size(method, picture, single)


@given(st.integers(0, 2**32 - 1))
def test_maps_for_colors_in_unit_range_change_them_alike(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, 12, 1, 1, generator=random, dtype=torch.float64)
    unit = torch.rand(1, 3, 4, 4, generator=random, dtype=torch.float64)
    ones = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    expected = denormalize(apply_color_maps(maps, normalize(unit.clone()), ones))
    torch.testing.assert_close(apply_color_maps(maps_of_unit_range(maps), unit, ones), expected)


def test_a_map_is_three_rows_of_slopes_and_a_shift() -> None:
    maps = torch.zeros(1, 12, 1, 1)
    maps[0, 4 * 1 + 2] = 0.5  # of the second channel's change, the slope of the third channel
    maps[0, 4 * 2 + 3] = -0.25  # of the third channel's change, the shift
    composite = torch.rand(1, 3, 2, 2)
    harmonized = apply_color_maps(maps, composite, torch.ones(1, 1, 2, 2))
    torch.testing.assert_close(harmonized[:, 0], composite[:, 0])
    torch.testing.assert_close(harmonized[:, 1], composite[:, 1] + 0.5 * composite[:, 2])
    torch.testing.assert_close(harmonized[:, 2], composite[:, 2] - 0.25)


def test_statistics_are_those_of_each_region() -> None:
    picture, mask = pictures((16, 16), batch=1)
    inside = picture[mask.expand_as(picture) == 1].view(3, -1)
    outside = picture[mask.expand_as(picture) == 0].view(3, -1)
    expected = torch.cat([f(region) for region in (inside, outside) for f in (_mean, _deviation)])
    torch.testing.assert_close(region_statistics(picture, mask)[0], expected, rtol=1e-3, atol=1e-3)


def test_an_empty_foreground_gives_numbers() -> None:
    composite, mask = pictures((96, 96))
    assert trained().harmonize(composite, torch.zeros_like(mask)).isfinite().all()
    assert trained().harmonize(composite, torch.ones_like(mask)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 96}, "size is 96 with head=pixels, expected 256"),
        ({"head": "affine", "size": 100}, "size is 100, expected one of 96, 128, 192, 256, 384, 512"),
        ({"head": "affine", "size": 96, "unshared_layers": 4}, "expected 2 to 3 at size 96"),
        ({"head": "curves"}, "head=curves: expected one of pixels, affine"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_method("charmnet", width=8, **options)


def test_the_affine_head_has_no_released_layout() -> None:
    for method in (affine().released_state_dict, affine("charmnet", unshared_layers=3).released_state_dicts):
        with pytest.raises(WeightsError, match="head=affine"):
            method()


def test_charmnet_starts_from_idih_with_the_same_head() -> None:
    source, charmnet = trained(), affine("charmnet", unshared_layers=3)
    charmnet.warm_start(source)
    composite, mask = pictures((96, 96))
    assert torch.equal(charmnet.harmonize(composite, mask), source.harmonize(composite, mask))


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ({"head": "affine", "size": 128}, {"head": "affine", "size": 96, "unshared_layers": 3}, "size=128"),
        ({}, {"head": "affine", "size": 96, "unshared_layers": 3}, "head=pixels, size=256"),
        ({"head": "affine"}, {}, "head=affine"),
    ],
)
def test_a_start_that_does_not_fit_names_what_would(
    source: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    charmnet, idih = build_method("charmnet", width=8, **options), build_method("idih", width=8, **source)
    with pytest.raises(WeightsError, match=f"charmnet starts from this idih with {message}"):
        charmnet.warm_start(idih)


def test_a_small_foreground_counts_as_a_share_of_the_picture() -> None:
    method = affine()
    truth, _ = pictures((96, 96), batch=1)
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 40, 40] = 1
    (loss,) = method.reconstruction_losses(truth + mask, HarmonizationBatch(truth, truth, mask))
    assert loss.item() == pytest.approx(3 / (3 * 100 * (96 / 256) ** 2))


def test_a_small_picture_is_enlarged_smoothly() -> None:
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    assert len(area_resized(ramp, 16).unique()) > 4


def test_pasting_keeps_the_background_of_the_pixel_head() -> None:
    method = build_method("idih", width=8, paste=True, seed=0)
    composite, mask = pictures((256, 256))
    harmonized = method.harmonize(composite, mask)
    outside = (mask == 0).expand_as(composite)
    assert torch.equal(harmonized[outside], composite[outside])
    assert not torch.equal(harmonized, composite)


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.mean(1)


def _deviation(values: torch.Tensor) -> torch.Tensor:
    return values.std(1, correction=0)
