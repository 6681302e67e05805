from __future__ import annotations

from pathlib import Path

import pytest

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.shards.selection import Selection
from pipelines.study.selections import BASE, NOVEL, RealData, count_samples, rendered_selection
from tests.study_data import stratum, study_photographs, study_scenes
from tests.synthetic_datasets import (
    pair_rows,
    photograph_rows,
    scene_rows,
    write_dataset,
    write_photographs,
)


def listed(folder: Path, *rows: tuple[str, list[str]]) -> Dataset:
    """Pairs without categories: (id, splits) of each."""
    made: list[Row] = [
        {**row, "id": identity, "splits": splits}
        for row, (identity, splits) in zip(pair_rows(len(rows)), rows, strict=True)
    ]
    return write_dataset(Location.of(folder), made, rows_per_shard=len(rows))


IHARMONY4 = [
    ("HCOCO/c1_1_1", ["IHD_human_train", "IHD_train"]),
    ("HCOCO/c2_1_1", ["IHD_nonhuman_train", "IHD_train"]),
    ("HCOCO/c3_1_1", ["IHD_human_test", "IHD_test"]),
    ("HCOCO/c4_1_1", ["IHD_nonhuman_test", "IHD_test"]),
]


def test_base_is_every_category_but_the_novel_one(tmp_path: Path) -> None:
    real = RealData(study_photographs(tmp_path), "car")
    novel, base, both = (Selection(real.select(part, "train")) for part in (NOVEL, BASE, "all"))
    for category in ("car", "tree", None):
        for split in ("train", "test"):
            one = stratum(category, split)
            assert novel(one) == (category == "car" and split == "train")
            assert base(one) == (category != "car" and split == "train")
            assert both(one) == (split == "train")
    assert real.validation_splits == ("validation",)
    assert real.part_of("car", ["test"]) == NOVEL
    assert real.part_of(None, ["test"]) == BASE


def test_a_category_may_stand_in_the_names_of_the_splits(tmp_path: Path) -> None:
    real = RealData(listed(tmp_path, *IHARMONY4), "human")
    assert real.select(NOVEL, "train") == "split == 'IHD_human_train'"
    assert real.select(BASE, "test") == "split == 'IHD_nonhuman_test'"
    assert Selection(real.select("all", "test"))(stratum(None, "IHD_human_test", "IHD_test"))
    assert real.part_of(None, ["IHD_human_test", "IHD_test"]) == NOVEL
    assert real.part_of(None, ["IHD_nonhuman_test", "IHD_test"]) == BASE
    assert real.validation_splits == ()
    real.check_apart()


def test_a_category_with_a_quote_in_its_name_is_selected(tmp_path: Path) -> None:
    rows: list[Row] = [
        {**row, "category": category, "splits": [split]}
        for row, (category, split) in zip(
            pair_rows(4),
            [("a'b", "train"), ("a'b", "test"), ("c", "train"), ("c", "test")],
            strict=True,
        )
    ]
    real = RealData(write_dataset(Location.of(tmp_path), rows, 4), "a'b")
    assert count_samples(real.dataset.manifest, real.select(NOVEL, "train")) == 1


def test_a_novel_category_that_the_data_lack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--novel cow: .* has no such category; it has car, tree"):
        RealData(study_photographs(tmp_path), "cow")


def test_a_category_without_a_test_picture_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [
        {**row, "category": category, "splits": [split]}
        for row, (category, split) in zip(
            pair_rows(3), [("car", "train"), ("tree", "train"), ("tree", "test")], strict=True
        )
    ]
    with pytest.raises(ValueError, match="no sample of the novel categories in the split of test"):
        RealData(write_dataset(Location.of(tmp_path), rows, 3), "car")


def test_data_without_a_test_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split whose name ends in test; it has train"):
        RealData(write_dataset(Location.of(tmp_path), pair_rows(2), 2), "car")


def test_lists_that_share_a_photograph_are_refused_by_name(tmp_path: Path) -> None:
    dataset = listed(tmp_path, *IHARMONY4, ("HCOCO/c3_2_1", ["IHD_nonhuman_train"]))
    with pytest.raises(DataError, match=r"1 photographs are in a split of train .* HCOCO/c3;"):
        RealData(dataset, "human").check_apart()


def test_a_photograph_of_two_masks_is_one(tmp_path: Path) -> None:
    RealData(study_photographs(tmp_path / "apart"), "car").check_apart()
    shared = [{**row, "splits": ["train", "test"]} for row in photograph_rows(2)]  # of one and of two masks
    dataset = write_photographs(Location.of(tmp_path / "shared"), shared, rows_per_shard=2)
    with pytest.raises(DataError, match=r"2 photographs are in a split of train .* P/p00, P/p01;"):
        RealData(dataset, "car").check_apart()


def test_rendered_scenes_need_the_novel_category(tmp_path: Path) -> None:
    assert rendered_selection(study_scenes(tmp_path / "car"), "car") == "category == 'car'"
    others = write_dataset(Location.of(tmp_path / "human"), scene_rows(1), 1)
    with pytest.raises(ValueError, match=r"--rendered .*: has no scene of the category car; it has human"):
        rendered_selection(others, "car")
    pairs = write_dataset(Location.of(tmp_path / "pairs"), pair_rows(1), 1)
    assert pairs.manifest.domain is Domain.REAL
    with pytest.raises(ValueError, match="holds the real domain"):
        rendered_selection(pairs, "car")
