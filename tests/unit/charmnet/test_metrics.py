"""MSE, fMSE and PSNR under both protocols, and their sums."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charmnet.augment import resize
from charmnet.batch import normalize
from charmnet.codecs import decode_mask, encode_png
from charmnet.errors import DataError
from charmnet.metrics import (
    ErrorSums,
    ImageErrors,
    Protocol,
    foreground_ratio_bin,
    image_errors,
    reference_uint8,
    scoring_mask,
    to_uint8,
)

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "metrics.npz")
YY, XX = np.mgrid[:480, :640].astype(np.float64)


def golden_image(phase: float) -> np.ndarray:
    waves = [90 * np.sin(XX / 37 + phase + k) + 37 * np.cos(YY / 23 - phase * k) for k in range(3)]
    return np.stack([np.round(np.clip(127.5 + wave, 0, 255)) for wave in waves], axis=-1).astype(np.uint8)


GROUND_TRUTH, COMPOSITE = resize(golden_image(0.3)), resize(golden_image(1.1))
MASK = ((((XX - 300) / 150) ** 2 + ((YY - 250) / 110) ** 2) <= 1).astype(np.uint8) * np.uint8(255)
SOFT_MASK = MASK.copy()
SOFT_MASK[240:250, 290:310] = 254


def golden_prediction() -> torch.Tensor:
    pixels = torch.from_numpy(GROUND_TRUTH).permute(2, 0, 1)[None].float().div(255)
    return normalize(pixels) + 0.15 * torch.randn(3, 256, 256, generator=torch.Generator().manual_seed(21))


def as_array(errors: ImageErrors) -> np.ndarray:
    return np.array([errors.mse, errors.fmse, errors.psnr])


@pytest.mark.parametrize("protocol", [Protocol.STANDARD, Protocol.RELEASED])
def test_agrees_with_the_reference_figures(protocol: Protocol) -> None:
    mask = scoring_mask(encode_png(SOFT_MASK))
    ground_truth = reference_uint8(GROUND_TRUTH[None], protocol)[0]
    harmonized = image_errors(to_uint8(golden_prediction(), protocol)[0], ground_truth, mask, protocol)
    composite = image_errors(reference_uint8(COMPOSITE[None], protocol)[0], ground_truth, mask, protocol)
    np.testing.assert_allclose(as_array(harmonized), GOLDEN[f"{protocol}_metrics_mse_fmse_psnr"], rtol=1e-12)
    np.testing.assert_allclose(as_array(composite), GOLDEN[f"{protocol}_composite_metrics"], rtol=1e-12)


def test_preprocessing_agrees_with_the_reference_sums() -> None:
    assert GROUND_TRUTH.sum() == GOLDEN["cv2_real_sum"]
    assert COMPOSITE.sum() == GOLDEN["cv2_comp_sum"]
    assert resize(decode_mask(encode_png(SOFT_MASK))).sum() == GOLDEN["charm_mask_sum"]
    assert scoring_mask(encode_png(SOFT_MASK)).sum() == GOLDEN["pil_mask_sum"]
    assert scoring_mask(encode_png(MASK)).sum() == GOLDEN["pil_mask_clean_sum"]


def test_the_released_round_trip_loses_the_levels_that_the_reference_loses() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=-1)
    lost = reference_uint8(levels, Protocol.RELEASED) != levels
    assert lost.sum(axis=(0, 1, 2)).tolist() == GOLDEN["uint8_levels_lost_per_channel"].tolist()
    assert np.array_equal(reference_uint8(levels, Protocol.STANDARD), levels)


def test_standard_rounds_and_clips() -> None:
    wanted = torch.tensor([-20.0, 10.4, 10.6, 300.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert to_uint8(normalize(wanted / 255))[0, 0, :, 0].tolist() == [0, 10, 11, 255]
    assert to_uint8(normalize(wanted / 255), Protocol.RELEASED)[0, 0, :, 0].tolist() == [0, 10, 10, 255]


def test_only_the_foreground_counts_in_fmse() -> None:
    truth = np.full((4, 4, 3), 100, np.uint8)
    image, mask = truth.copy(), np.zeros((4, 4), np.uint8)
    mask[0, :2] = 1
    image[0, 0] = 106
    image[3, 3] = 90
    errors = image_errors(image, truth, mask)
    assert errors.fmse == pytest.approx(36 / 2)
    assert errors.mse == pytest.approx((36 + 100) / 16)
    assert errors.psnr == pytest.approx(10 * math.log10(255**2 * 16 / 136))


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_errors_are_exact_sums_whatever_the_pictures_layout(seed: int, planar: bool) -> None:
    rng = np.random.default_rng(seed)
    image, truth = rng.integers(256, size=(2, 61, 47, 3), dtype=np.uint8)
    mask = (rng.random((61, 47)) < 0.1).astype(np.uint8)
    squared = (image.astype(np.int64) - truth) ** 2
    if planar:  # as what a network gives may lie in memory
        image = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    errors = image_errors(image, truth, mask)
    assert errors.mse == squared.sum() / squared.size
    assert errors.fmse == squared[mask != 0].sum() / (3 * mask.sum())


def pct_net_figures(image: np.ndarray, truth: np.ndarray, grey: np.ndarray) -> tuple[float, float, float]:
    """Return MSE, fMSE and PSNR by the formulas of PCT-Net's evaluation."""
    weights = grey[..., None] / 255
    squared = weights * (image.astype(float) - truth) ** 2
    mse = squared.mean()
    return mse, squared.sum() / (3 * weights.sum() + 1e-6), 10 * math.log10(255**2 / (mse + 1e-6))


@given(st.integers(0, 2**32 - 1))
def test_pct_nets_rules_weigh_errors_by_the_masks_grey_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, truth = (rng.integers(0, 256, (30, 21, 3), np.uint8) for _ in range(2))
    grey = (rng.integers(0, 256, (30, 21)) * (rng.random((30, 21)) < 0.3)).astype(np.uint8)
    mask = scoring_mask(encode_png(grey), None, Protocol.PCT_NET)
    assert np.array_equal(mask, grey)
    errors = image_errors(image, truth, mask, Protocol.PCT_NET)
    np.testing.assert_allclose(as_array(errors), pct_net_figures(image, truth, grey), rtol=1e-12)
    outside = np.where(grey[..., None] == 0, image // 2, image)
    assert image_errors(outside, truth, mask, Protocol.PCT_NET) == errors, "the background counts nothing"


def test_pct_nets_rules_have_no_undefined_psnr_and_see_the_ground_truth_as_background() -> None:
    truth = golden_image(0.3)[:64, :64]
    whole = np.full((64, 64), 255, np.uint8)
    perfect = image_errors(truth, truth, whole, Protocol.PCT_NET, ssim=True)
    assert (perfect.mse, perfect.fmse) == (0, 0)
    assert perfect.psnr == pytest.approx(10 * math.log10(255**2 / 1e-6))
    assert perfect.ssim == pytest.approx(1)
    nowhere = image_errors(255 - truth, truth, whole * 0, Protocol.PCT_NET, ssim=True)
    assert (nowhere.mse, nowhere.fmse) == (0, None)
    assert nowhere.ssim == pytest.approx(1)
    half = whole.copy()
    half[:32] = 0
    pasted = np.where(half[..., None] == 0, truth, 255 - truth).astype(np.uint8)
    expected = image_errors(pasted, truth, half, ssim=True).ssim
    assert image_errors(255 - truth, truth, half, Protocol.PCT_NET, ssim=True).ssim == expected


def test_a_mask_keeps_its_size_where_it_is_asked_to() -> None:
    assert scoring_mask(encode_png(MASK), None).shape == MASK.shape
    assert np.array_equal(scoring_mask(encode_png(MASK), None) * np.uint8(255), MASK)
    grey = scoring_mask(encode_png(SOFT_MASK), 64, Protocol.PCT_NET)
    assert np.array_equal(grey, resize(SOFT_MASK, 64))


def test_what_is_undefined_is_none_and_counted() -> None:
    truth = np.full((4, 4, 3), 100, np.uint8)
    empty = np.zeros((4, 4), np.uint8)
    perfect = image_errors(truth, truth, empty)
    assert perfect == ImageErrors(0.0, None, None)
    flat = image_errors(truth + 1, truth, empty + 1, Protocol.RELEASED)  # a prediction without range
    assert flat == ImageErrors(1.0, 1.0, None)
    sums = ErrorSums.over([perfect, flat])
    assert sums.means() == {"mse": 0.5, "fmse": 1.0, "psnr": None}
    assert sums.undefined() == {"fmse": 1, "psnr": 2}
    assert ErrorSums().means() == {"mse": None, "fmse": None, "psnr": None}


@pytest.mark.parametrize("data", [b"", encode_png(MASK)[:500], b"not a picture"])
def test_a_broken_mask_is_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        scoring_mask(data)


def test_ratio_bins_have_their_lower_ends() -> None:
    ratios = (0, 0.049, np.float32(0.05), 0.149, np.float32(0.15), 1.0)
    assert [foreground_ratio_bin(ratio) for ratio in ratios] == [
        "0-5",
        "0-5",
        "5-15",
        "5-15",
        "15-100",
        "15-100",
    ]


VALUES = st.floats(0, 65025)
ERRORS = st.builds(ImageErrors, VALUES, st.none() | VALUES, st.none() | st.floats(-50, 100))


@given(st.lists(st.tuples(ERRORS, st.integers(0, 4))))
def test_sums_merge_to_the_whole_in_any_grouping(images: list[tuple[ImageErrors, int]]) -> None:
    whole = ErrorSums.over(errors for errors, _ in images)
    groups = [ErrorSums.over(errors for errors, g in images if g == group) for group in (3, 0, 4, 1, 2)]
    merged = sum(groups, ErrorSums())
    np.testing.assert_allclose(merged.to_list(), whole.to_list(), rtol=1e-9, atol=1e-6)
    assert (merged.count, merged.fmse_count, merged.psnr_count) == (
        whole.count,
        whole.fmse_count,
        whole.psnr_count,
    )
    assert ErrorSums.from_list(torch.tensor(whole.to_list(), dtype=torch.float64).tolist()) == whole
