"""Data sets that scenarios copy, make and damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.chaos.data import change_composite, copy_dataset, copy_first_shards, flip_bytes, make_dataset
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from tests.synthetic_datasets import photograph_rows, write_photographs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(Domain.REAL, Location.of(tmp_path_factory.mktemp("made")))


@pytest.fixture
def damaged(pairs: Dataset, tmp_path: Path) -> Dataset:
    return copy_dataset(pairs, Location.of(tmp_path / "damaged"))


def ids(dataset: Dataset) -> list[str]:
    return [
        name
        for shard, group, _ in dataset.manifest.groups()
        for name in dataset.read_row_group(shard, group)["id"].to_pylist()
    ]


def test_made_data_are_whole_and_a_copy_is_the_same_data_set(pairs: Dataset, tmp_path: Path) -> None:
    scenes = make_dataset(Domain.RENDERED, Location.of(tmp_path / "scenes"))
    copy = copy_first_shards(str(pairs.location), Domain.REAL, Location.of(tmp_path / "copy"))
    assert scenes.manifest.samples == 40
    assert copy.manifest.digest == pairs.manifest.digest
    assert ids(copy) == ids(pairs)
    with pytest.raises(ValueError, match="expected parquet shards of the rendered domain"):
        copy_first_shards(str(pairs.location), Domain.RENDERED, Location.of(tmp_path / "other"))


def test_photographs_are_refused_since_they_hold_no_composite_to_damage(tmp_path: Path) -> None:
    folder = Location.of(tmp_path / "photographs")
    write_photographs(folder, photograph_rows(2), rows_per_shard=2)
    with pytest.raises(ValueError, match=r"holds photographs .* expected pairs"):
        copy_first_shards(str(folder), Domain.REAL, Location.of(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_flipped_bytes_leave_a_shard_of_the_same_size_that_cannot_be_read(damaged: Dataset) -> None:
    path = damaged.location / damaged.manifest.shards[1].path
    before = path.read_bytes()
    flip_bytes(damaged, (1, 0, 3))
    after = path.read_bytes()
    assert len(after) == len(before)
    assert 0 < sum(a != b for a, b in zip(before, after, strict=True)) <= 16
    damaged.read_row_group(0, 0)
    with pytest.raises(DataError, match="corrupt"):
        damaged.read_row_group(1, 0)


def test_one_composite_is_changed_and_nothing_else(pairs: Dataset, damaged: Dataset) -> None:
    name = change_composite(damaged, (1, 0, 3), lambda picture: picture[:50])
    changed = Dataset.open(damaged.location)
    assert changed.manifest.samples == pairs.manifest.samples
    assert ids(changed) == ids(pairs)
    for shard, group, _ in changed.manifest.groups():
        rows = zip(
            changed.read_row_group(shard, group).to_pylist(),
            pairs.read_row_group(shard, group).to_pylist(),
            strict=True,
        )
        differing = [row["id"] for row, undamaged in rows if row != undamaged]
        assert differing == ([name] if shard == 1 else [])
