"""Validation in training: every image of a split is measured by exactly one worker."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch

from charmnet.errors import StorageError
from charmnet.methods import CharmNetMethod
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.conversion.build import EntriesTask
from pipelines.conversion.iharmony4 import IHarmony4
from pipelines.conversion.lists import Categories, read_list
from pipelines.evaluation.report import EvaluationReport
from pipelines.evaluation.scoring import evaluate_images
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection
from pipelines.training.build import make_validation
from pipelines.training.translation_validation import TranslationValidation
from pipelines.training.validation import HarmonizationValidation, check_validation, judged_by
from tests.evaluation_images import evaluation_images
from tests.factories import make_iharmony4
from tests.toy_methods import ToyTranslator


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("released")
    make_iharmony4(folder, photographs=8)
    source = Location.of(folder)
    lists = tuple(read_list(f"{name}.txt", source) for name in ("IHD_train", "IHD_test"))
    entries, rejected = IHarmony4(source, lists, Categories()).entries()
    assert rejected == list[Rejection]()
    parts = [
        EntriesTask(source, RowKind.PAIR, Domain.REAL, (entry,), None).write(
            source / "shards", f"{i}.parquet"
        )
        for i, entry in enumerate(entries)
    ]
    Manifest.merged([part.manifest for part in parts], {}).save(source / "shards")
    return Dataset.open(source / "shards")


def validation(
    dataset: Dataset,
    rank: int,
    workers: int,
    notify: Callable[[str], object] | None = None,
    **options: object,
) -> HarmonizationValidation:
    config = TrainConfig(validate_splits=("IHD_test",), **options)
    datasets = {Domain.REAL: dataset}
    made = make_validation(
        CharmNetMethod(width=8, seed=0), config, datasets, rank=rank, num_workers=workers, notify=notify
    )
    assert isinstance(made, HarmonizationValidation)
    return made


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_image_is_one_workers_even_where_there_are_more_workers(dataset: Dataset, workers: int) -> None:
    shares = [
        [i.id for i in validation(dataset, r, workers).split_images("IHD_test", r, workers)]
        for r in range(workers)
    ]
    together = sorted(image for share in shares for image in share)
    assert together == sorted(set(together))
    assert len(together) == 4
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_worker_reads_only_the_row_groups_of_its_share(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    whole = Dataset.read_row_group

    def counted(dataset: Dataset, shard: int, group: int) -> pa.Table:
        read.append(shard)
        return whole(dataset, shard, group)

    monkeypatch.setattr(Dataset, "read_row_group", counted)
    for rank in range(2):
        list(validation(dataset, rank, 2).split_images("IHD_test", rank, 2))
    assert len(read) == len(set(read)) == 4


def test_scores_are_those_of_evaluation(dataset: Dataset) -> None:
    method = CharmNetMethod(width=8, seed=0)
    scores = validation(dataset, 0, 1).score(torch.device("cpu"))
    images = list(evaluation_images(dataset, Selection("split == 'IHD_test'")))
    expected = EvaluationReport.over(evaluate_images(method, images)).to_json()["all"]
    for figure in ("mse", "fmse", "psnr"):
        np.testing.assert_allclose(
            scores[f"eval/IHD_test/{figure}"], expected["harmonized"][figure], rtol=1e-9
        )
        assert scores[f"eval/IHD_test/composite_{figure}"] == pytest.approx(expected["composite"][figure])


def test_a_limit_takes_the_first_images_over_all_workers(dataset: Dataset) -> None:
    limited = [validation(dataset, rank, 2, validate_images=1) for rank in range(2)]
    assert [len(list(v.split_images("IHD_test", v.rank, 2))) for v in limited] == [0, 1]


def test_what_cannot_be_decoded_is_left_out_counted_and_named(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    whole = Dataset.read_row_group

    def damaged(self: Dataset, shard: int, group: int) -> pa.Table:
        table = whole(self, shard, group)
        if "IHD_test" not in table["splits"][0].as_py() or messages:
            return table
        cut = pa.array([data[:-30] for data in table["composite"].to_pylist()], pa.binary())
        return table.set_column(table.schema.get_field_index("composite"), "composite", cut)

    monkeypatch.setattr(Dataset, "read_row_group", damaged)
    scores = validation(dataset, 0, 1, messages.append).score(torch.device("cpu"))
    assert scores["eval/IHD_test/left_out"] == 1
    assert len(messages) == 1
    assert "left out of validation: HCOCO/" in messages[0]


def test_a_store_that_does_not_answer_is_waited_for(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    whole = Dataset.read_row_group

    def away(self: Dataset, shard: int, group: int) -> pa.Table:
        if not messages:
            raise StorageError("connection refused")
        return whole(self, shard, group)

    monkeypatch.setattr(Dataset, "read_row_group", away)
    waiting = validation(dataset, 0, 1, messages.append)
    assert len(list(waiting.split_images("IHD_test", 0, 1))) == 4
    assert messages == ["waiting: connection refused"]


def test_grids_show_what_went_in_and_what_came_out(dataset: Dataset) -> None:
    grids = validation(dataset, 0, 1, sample_rows=2).grids(torch.device("cpu"))
    (grid,) = grids.values()
    assert list(grids) == ["samples/IHD_test"]
    assert grid.shape[1] > 5 * 256
    assert grid.dtype == np.uint8


def test_a_translator_has_scores_and_grids_of_its_own(dataset: Dataset) -> None:
    method = ToyTranslator(seed=0)
    config = TrainConfig(validate_splits=("IHD_test",), method="charmnet")
    datasets = {Domain.RENDERED: dataset, Domain.REAL: dataset}
    made = make_validation(method, config, datasets)
    assert isinstance(made, TranslationValidation)
    before = made.score(torch.device("cpu"))
    assert before["eval/IHD_test/change"] == 0
    with torch.no_grad():
        method.modules["translator"].bias[:] = -0.5
    after = made.score(torch.device("cpu"))
    assert after["eval/IHD_test/change"] > 20
    assert after["eval/IHD_test/color_distance"] > before["eval/IHD_test/color_distance"]
    (grid,) = made.grids(torch.device("cpu")).values()
    assert grid.shape[1] > 2 * 256
    assert judged_by(method, config) == ("color_distance", 1.0)
    assert judged_by(CharmNetMethod(width=4), config.override(["best_metric=psnr"])) == ("psnr", -1.0)
    with pytest.raises(ValueError, match="the splits are those of --rendered, which is missing"):
        check_validation(method, config, {Domain.REAL: dataset})
