"""The report of an evaluation."""

import io
import json
import pickle
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.metrics import ImageErrors
from charmnet.vocabulary import Domain
from pipelines.evaluation.per_image import per_image_parquet
from pipelines.evaluation.report import EvaluationReport, ImageResult
from pipelines.shards.stratum import Stratum
from tests.evaluation_results import REAL, RENDERED, result


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


def test_the_rows_of_the_per_image_table_have_the_figures_of_all() -> None:
    tricks = {"mean_shift": ImageErrors(19.0, None, 20.0)}
    one = replace(result(10.0), photograph="HCOCO/c1", tricks=tricks)
    (row,) = pq.read_table(io.BytesIO(per_image_parquet([one]))).to_pylist()
    assert (row["photograph"], row["harmonized_mse"], row["mean_shift_mse"]) == ("HCOCO/c1", 10.0, 19.0)
    assert row["mean_shift_fmse"] is row["harmonized_ssim"] is None
    (bare,) = pq.read_table(io.BytesIO(per_image_parquet([replace(one, tricks={})]))).to_pylist()
    assert bare.keys() == {name for name in row if not name.startswith("mean_shift")}
    assert pq.read_table(io.BytesIO(per_image_parquet([]))).num_rows == 0
