"""Intervals over photographs."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.metrics import ImageErrors
from charmnet.vocabulary import Domain
from pipelines.evaluation.bootstrap import (
    LEAST_PHOTOGRAPHS,
    PairedImage,
    compare,
    comparison_metrics,
    comparisons_by_group,
)
from pipelines.evaluation.report import ImageResult
from pipelines.shards.stratum import Stratum

STRATUM = Stratum(Domain.REAL, "Own", "cat", ("test",))


def pair(photograph: str, fmse: float | None, base: float | None, share: float = 0.1) -> PairedImage:
    return PairedImage(
        photograph,
        ImageErrors((fmse or 0.0) * share, fmse, None),
        ImageErrors((base or 0.0) * share, base, None),
    )


def result(number: int, harmonized: float, composite: float, trick: float, category: str) -> ImageResult:
    return ImageResult(
        f"Own/p{number // 2}_{number % 2}_1",
        f"Own/p{number // 2}",
        replace(STRATUM, category=category),
        0.1,
        ImageErrors(composite / 10, composite, None),
        ImageErrors(harmonized / 10, harmonized, None),
        {"mean_shift": ImageErrors(trick / 10, trick, None)},
    )


ERRORS = st.floats(1, 5000)
IMAGES = st.lists(st.tuples(st.integers(0, 30), ERRORS, ERRORS), min_size=1, max_size=60)


@settings(deadline=None, max_examples=30)
@given(IMAGES, st.randoms(use_true_random=False))
def test_values_are_those_over_all_images_in_whatever_order(
    drawn: list[tuple[int, float, float]], shuffled: random.Random
) -> None:
    images = [pair(str(photograph), fmse, base) for photograph, fmse, base in drawn]
    comparison = compare(images)
    _, fmse, base = np.array(drawn).T
    assert comparison.photographs == len({photograph for photograph, _, _ in drawn})
    assert comparison.fmse_ratio.value == pytest.approx(fmse.sum() / base.sum())
    assert comparison.mse_ratio.value == pytest.approx(fmse.sum() / base.sum())
    assert comparison.fmse_difference.value == pytest.approx(np.mean(fmse - base), abs=1e-6)
    assert comparison.better.value == np.mean(fmse < base)
    if comparison.photographs < LEAST_PHOTOGRAPHS:
        assert comparison.fmse_ratio.low is comparison.fmse_ratio.deviation is None
    else:
        assert 0 <= comparison.better.low <= comparison.better.high <= 1
        assert comparison.fmse_ratio.low <= comparison.fmse_ratio.high
    shuffled.shuffle(images)
    assert compare(images) == comparison, "the draws are always the same"


def test_a_photographs_composites_stay_together() -> None:
    rng = np.random.default_rng(3)
    levels = rng.uniform(0.5, 1.5, 40)
    apart = [pair(f"{photo}-{i}", 100 * level, 100) for photo, level in enumerate(levels) for i in range(10)]
    together = [replace(image, photograph=image.photograph.split("-")[0]) for image in apart]
    loose, honest = compare(apart).fmse_ratio, compare(together).fmse_ratio
    assert honest.value == pytest.approx(loose.value)
    assert honest.deviation == pytest.approx(levels.std() / np.sqrt(40), rel=0.1)
    assert honest.deviation == pytest.approx(np.sqrt(10) * loose.deviation, rel=0.15)
    assert honest.high - honest.low == pytest.approx(2 * 1.96 * honest.deviation, rel=0.1)


def test_what_is_not_defined_is_left_out() -> None:
    comparison = compare([pair("a", None, 5.0), pair("b", 1.0, 2.0), pair("c", 3.0, None)])
    assert (comparison.fmse_ratio.value, comparison.better.value) == (0.5, 1.0)
    nothing = compare([pair("a", 3.0, 0.0)])
    assert nothing.fmse_ratio is nothing.mse_ratio is None
    assert nothing.better.value == 0
    assert json.loads(json.dumps(nothing.to_json()))["fmse_ratio"] is None


def test_groups_have_ratios_of_the_model_and_of_each_trick() -> None:
    results = [result(n, 50.0, 100.0, 90.0, "cat" if n < 20 else "dog") for n in range(22)]
    comparisons = comparisons_by_group(results)
    assert comparisons["all", ""]["harmonized"].fmse_ratio.value == 0.5
    assert comparisons["category", "dog"]["mean_shift"].photographs == 1
    metrics = comparison_metrics(comparisons)
    assert metrics["eval/all/fmse_ratio"] == metrics["eval/test/fmse_ratio_high"] == 0.5
    assert metrics["eval/category_cat/mean_shift_fmse_ratio_low"] == pytest.approx(0.9)
    assert metrics["eval/all/better"] == 1
    assert "eval/category_dog/fmse_ratio" in metrics
    assert "eval/category_dog/fmse_ratio_low" not in metrics, "of a single photograph"


@pytest.mark.parametrize("photographs", [LEAST_PHOTOGRAPHS - 1, LEAST_PHOTOGRAPHS])
def test_a_handful_of_photographs_has_no_interval(photographs: int) -> None:
    ratio = compare([pair(str(number), 50.0 + number % 3, 100.0) for number in range(photographs)]).fmse_ratio
    has_interval = [value is not None for value in (ratio.low, ratio.high, ratio.deviation)]
    assert has_interval == 3 * [photographs == LEAST_PHOTOGRAPHS]


def test_two_models_are_paired_image_by_image() -> None:
    first = [result(n, 40.0 + n, 100.0, 90.0, "cat") for n in range(20)]
    second = [result(n, 2 * (40.0 + n), 100.0, 90.0, "cat") for n in range(20)]
    against = comparisons_by_group(first, second)["all", ""]
    assert list(against) == ["harmonized"]
    assert against["harmonized"].fmse_ratio.value == 0.5
    assert against["harmonized"].fmse_ratio.deviation == pytest.approx(0), "paired: no spread of the images"
    assert against["harmonized"].fmse_difference.value == pytest.approx(-49.5)
    with pytest.raises(ValueError, match="different images: Own/p0_0_1 and Own/p9_1_1"):
        comparisons_by_group(first, second[::-1])
