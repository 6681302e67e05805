import io
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from torch import Tensor

from charmnet.augment import resize
from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.errors import DataError, WeightsError
from charmnet.metrics import ImageErrors, Protocol
from charmnet.vocabulary import Domain
from pipelines.commands.evaluate import figures_table
from pipelines.evaluation.images import evaluate_images, image_count, row_images
from pipelines.evaluation.report import EvaluationReport, ImageResult
from pipelines.shards.manifest import Stratum
from pipelines.shards.rows import Row, pair_row, scene_row
from tests.factories import foreground, photograph
from tests.toy_methods import Keep

REAL = Stratum(Domain.REAL, "HCOCO", "car", ("IHD_test", "IHD_nonhuman_test"))
RENDERED = Stratum(Domain.RENDERED, "SHuman", "human", ())


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, mask = photograph(rng), foreground(rng)
    return np.where(mask[..., None] == 1, truth // 2, truth), truth, mask


def real_row(seed: int = 0, identity: str = "HCOCO/c1_1_1") -> Row:
    composite, truth, mask = pictures(seed)
    encoded = {"composite": encode_jpeg(composite), "ground_truth": encode_jpeg(truth)}
    return pair_row(identity, REAL, {**encoded, "foreground_mask": encode_png(mask * np.uint8(255))})


def rendered_row(pairs: list[Row] | None = None) -> Row:
    _, truth, mask = pictures()
    images = {f"images[{i}]": encode_png((truth * (1 - 0.05 * i)).astype(np.uint8)) for i in range(10)}
    return scene_row("001", RENDERED, {**images, "foreground_mask": encode_png(mask * np.uint8(255))}, pairs)


def test_a_pair_is_one_image_as_the_test_protocol_prepares_it() -> None:
    row = real_row()
    (image,) = row_images(row, size=48)
    assert image_count(row) == 1
    assert np.array_equal(image.composite, resize(decode_rgb(row["composite"]), 48))
    assert np.array_equal(image.ground_truth, resize(decode_rgb(row["ground_truth"]), 48))
    assert np.array_equal(image.foreground_mask, resize(decode_mask(row["foreground_mask"]), 48))
    assert image.scoring_mask.shape == (48, 48)
    assert image.foreground_ratio == pytest.approx(decode_mask(row["foreground_mask"]).mean())


def test_a_scene_is_all_its_ordered_pairs_always_in_the_same_order() -> None:
    row = rendered_row()
    images = list(row_images(row, size=32))
    assert len(images) == image_count(row) == 90
    assert len({image.id for image in images}) == 90
    assert [image.id for image in images] == [image.id for image in row_images(row, size=32)]
    chosen = next(image for image in images if image.id == "001:3:7")
    full = np.where(
        decode_mask(row["foreground_mask"])[..., None] == 1,
        decode_rgb(row["images"][7]),
        decode_rgb(row["images"][3]),
    )
    assert np.array_equal(chosen.composite, resize(full, 32))
    assert np.array_equal(chosen.ground_truth, resize(decode_rgb(row["images"][3]), 32))


def test_a_scene_with_a_list_is_only_what_is_listed() -> None:
    listed = [{"foreground": 2, "background": 1, "composite_style": [0.1] * 10}]
    assert [image.id for image in row_images(rendered_row(listed), size=32)] == ["001:1:2"]


def test_a_broken_picture_is_named() -> None:
    row = real_row() | {"composite": b"junk"}
    with pytest.raises(DataError, match="HCOCO/c1_1_1"):
        list(row_images(row))
    other_size = real_row() | {"ground_truth": encode_png(np.zeros((8, 8, 3), np.uint8))}
    with pytest.raises(DataError, match="sizes differ"):
        list(row_images(other_size))


@pytest.mark.parametrize("protocol", Protocol)
def test_a_model_that_changes_nothing_has_the_composites_figures(protocol: Protocol) -> None:
    images = [image for seed in range(3) for image in row_images(real_row(seed), size=64)]
    for result in evaluate_images(Keep(), images, protocol):
        assert result.harmonized == result.composite
        assert result.composite.fmse is not None
        assert result.composite.fmse > 100
        assert result.stratum == REAL


def test_an_output_that_is_not_finite_has_no_figures() -> None:
    images = [image for seed in range(3) for image in row_images(real_row(seed, f"picture{seed}"), size=64)]

    class Broken(Keep):
        def harmonize_with_attention(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
            output = composite.clone()
            output[1, 0, 5, 5] = float("nan")
            return output, None

    with pytest.raises(WeightsError, match="for picture1 holds NaN"):
        evaluate_images(Broken(), images)


def test_batches_do_not_change_results() -> None:
    images = [image for seed in range(4) for image in row_images(real_row(seed, str(seed)), size=64)]

    class Dim(Keep):
        def harmonize_with_attention(self, composite: Tensor, foreground_mask: Tensor) -> tuple[Tensor, None]:
            return torch.where(foreground_mask > 0, composite * 0.5, composite), None

    whole = evaluate_images(Dim(), images)
    assert whole == [result for image in images for result in evaluate_images(Dim(), [image])]
    assert [result.id for result in whole] == ["0", "1", "2", "3"]


def result(mse: float, stratum: Stratum = REAL, ratio: float = 0.1, fmse: float | None = 1.0) -> ImageResult:
    return ImageResult("x", stratum, ratio, ImageErrors(2 * mse, fmse, 20.0), ImageErrors(mse, fmse, None))


def test_the_report_counts_every_image_in_each_of_its_groups() -> None:
    report = EvaluationReport.over(
        [result(10.0), result(20.0, ratio=0.01), result(60.0, RENDERED, 0.5, fmse=None)]
    )
    value = report.to_json()
    assert json.loads(json.dumps(value)) == value
    assert value["all"] == {
        "composite": {"mse": 60.0, "fmse": 1.0, "psnr": 20.0},
        "harmonized": {"mse": 30.0, "fmse": 1.0, "psnr": None},
        "count": 3,
        "undefined": {"composite": {"fmse": 1, "psnr": 0}, "harmonized": {"fmse": 1, "psnr": 3}},
    }
    assert {name: figures["count"] for name, figures in value["split"].items()} == {
        "IHD_nonhuman_test": 2,
        "IHD_test": 2,
    }
    assert value["subset"]["HCOCO"]["harmonized"]["mse"] == 15.0
    assert set(value["category"]) == {"car", "human"}
    assert list(value["foreground_ratio"]) == ["0-5", "5-15", "15-100"]
    assert report.count == 3


def test_metrics_have_the_trackers_names() -> None:
    unusual = Stratum(Domain.REAL, "HCOCO", None, ("my (test)/list",))
    metrics = EvaluationReport.over([result(10.0), result(20.0, unusual)]).metrics()
    assert metrics["eval/all/mse"] == 15.0
    assert metrics["eval/IHD_test/mse"] == 10.0
    assert metrics["eval/HCOCO/composite_mse"] == 30.0
    assert metrics["eval/category_none/mse"] == 20.0
    assert metrics["eval/my _test__list/mse"] == 20.0
    assert "eval/all/psnr" not in metrics
    assert metrics["eval/all/composite_psnr"] == 20.0


def test_an_empty_report_has_nulls() -> None:
    assert EvaluationReport().to_json()["all"] == {}
    assert EvaluationReport().count == 0
    assert EvaluationReport().metrics() == {}


RESULTS = st.builds(
    result,
    st.floats(0, 65025),
    st.sampled_from([REAL, RENDERED]),
    st.floats(0, 1),
    st.none() | st.floats(0, 65025),
)


@settings(deadline=None)
@given(st.lists(st.tuples(RESULTS, st.integers(0, 3)), min_size=1))
def test_workers_reports_merge_to_the_whole(results: list[tuple[ImageResult, int]]) -> None:
    whole = EvaluationReport.over(r for r, _ in results)
    merged = EvaluationReport()
    for worker in (2, 0, 3, 1):
        merged.merge(pickle.loads(pickle.dumps(EvaluationReport.over(r for r, w in results if w == worker))))
    assert merged.sums.keys() == whole.sums.keys()
    for group, sums in whole.sums.items():
        for name, value in sums.items():
            np.testing.assert_allclose(merged.sums[group][name].to_list(), value.to_list(), rtol=1e-9)


def test_the_table_shows_what_the_json_holds() -> None:
    figures = EvaluationReport.over([result(10.0), result(30.0, RENDERED, 0.5)]).to_json()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(figures_table(json.loads(json.dumps({**figures, "about": {"model": "x"}}))))
    lines = {words[0]: words[1:] for line in console.export_text().splitlines() if (words := line.split())}
    assert lines["all"] == ["2", "40.0", "20.0", "1.0", "1.0", "20.00", "-"]
    assert lines["15-100"][0] == lines["HCOCO"][0] == lines["human"][0] == "1"


def test_the_table_leaves_the_released_splits_names_whole_on_a_narrow_terminal() -> None:
    base = Stratum(Domain.REAL, "HCOCO", None, ("IHD_nonhuman_train",))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(figures_table(EvaluationReport.over([result(10_000.0, base, fmse=10_000.0)]).to_json()))
    assert "IHD_nonhuman_train " in console.export_text()
