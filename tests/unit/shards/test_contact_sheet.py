"""The choice of samples for a contact sheet, and its captions."""

from __future__ import annotations

import numpy as np
import pytest

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.contact_sheet import ascii_text, sample_rows
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING, Selection
from pipelines.shards.stratum import Stratum
from pipelines.shards.writer import write_parquet
from tests.factories import foreground, photograph

RNG = np.random.default_rng(0)
IMAGE = encode_jpeg(photograph(RNG))
PICTURES = {
    "composite": IMAGE,
    "ground_truth": IMAGE,
    "foreground_mask": encode_png(foreground(RNG) * np.uint8(255)),
}


def row(number: int, split: str) -> Row:
    return pair_row(f"HCOCO/c{number}_1_1", Stratum(Domain.REAL, "HCOCO", None, (split,)), PICTURES)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Shards of 5, 1 and 4 rows, every other one of the split `test`."""
    folder = Location.of(tmp_path_factory.mktemp("uneven"))
    parts, number = [], 0
    for shard, size in enumerate((5, 1, 4)):
        rows = [row(n, ("train", "test")[n % 2]) for n in range(number, number + size)]
        written = write_parquet(folder, f"part-{shard:05d}.parquet", RowKind.PAIR, Domain.REAL, rows)
        parts.append(written.manifest)
        number += size
    Manifest.merged(parts, {}).save(folder)
    return Dataset.open(folder)


def sampled_numbers(dataset: Dataset, count: int, selection: Selection = EVERYTHING) -> list[int]:
    return [int(one["id"].split("/c")[1].split("_")[0]) for one in sample_rows(dataset, selection, count)]


def test_requested_rows_are_spread_over_uneven_shards(dataset: Dataset) -> None:
    assert sampled_numbers(dataset, 8) == [0, 1, 3, 4, 5, 6, 8, 9]
    assert sampled_numbers(dataset, 2) == [2, 7]
    assert sampled_numbers(dataset, 50) == [*range(10)]


def test_only_selected_rows_are_sampled(dataset: Dataset) -> None:
    assert sampled_numbers(dataset, 4, Selection("split == 'test'")) == [1, 3, 7, 9]
    assert sampled_numbers(dataset, 3, Selection("split == 'nowhere'")) == []


def test_captions_are_reduced_to_ascii() -> None:
    assert ascii_text("Zürich, façade 1 (50 %)") == "Zurich, facade 1 (50 %)"
    assert ascii_text("犬") == "?"
