"""Warnings before a run begins."""

from __future__ import annotations

import pytest

from charmnet.methods import METHODS
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.training.build import configured_method
from pipelines.training.start_warnings import start_warnings
from tests.synthetic_datasets import pair_rows, write_dataset
from tests.toy_methods import ToyHarmonizer


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[Domain, Dataset]:
    """Return real pairs, all of the split `train`."""
    folder = Location.of(tmp_path_factory.mktemp("real"))
    return {Domain.REAL: write_dataset(folder, pair_rows(4), rows_per_shard=4)}


def warnings(datasets: dict[Domain, Dataset], *fields: str) -> list[str]:
    config = TrainConfig().override(["method=idih", "width=8", *fields])
    return start_warnings(config, configured_method(config), datasets)


@pytest.mark.parametrize(
    ("fields", "pairs"),
    [
        (("batch_size=8",), None),
        (("batch_size=7",), 7),
        (("batch_size=16", "workers=2"), None),
        (("batch_size=16", "workers=1:4"), 4),
        (("batch_size=8", "workers=4"), 2),
        (("batch_size=8", "workers=4", "sync_batch_norm=true"), None),
        (("batch_size=32", "workers=2", "gradient_accumulation=4"), 4),
        (("batch_size=8", "gradient_accumulation=4", "sync_batch_norm=true"), 2),
    ],
)
def test_batch_norms_that_see_few_pairs(
    datasets: dict[Domain, Dataset], fields: tuple[str, ...], pairs: int | None
) -> None:
    found = warnings(datasets, *fields)
    assert len(found) == (pairs is not None)
    if pairs is not None:
        assert f"batch norms see {pairs} pairs" in found[0]
        assert ("sync_batch_norm=true or fewer workers" in found[0]) == any("workers" in f for f in fields)
        assert ("less gradient_accumulation" in found[0]) == any("accumulation" in f for f in fields)


def test_a_method_without_batch_norms_needs_no_warning(
    datasets: dict[Domain, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "toy", ToyHarmonizer)
    config = TrainConfig(method="toy", batch_size=2, workers="2")
    assert start_warnings(config, configured_method(config), datasets) == []


def test_a_split_that_is_trained_chooses_badly(datasets: dict[Domain, Dataset]) -> None:
    (warning,) = warnings(datasets, "validate_splits=train")
    assert "the split train, of which pictures are trained on" in warning
    assert warnings(datasets, "validate_splits=train", "real_select=split != 'train'") == []
    assert warnings(datasets, "validate_splits=train", "validate_every=0") == [], "nothing is chosen"
    assert warnings(datasets, "validate_splits=other,train") == [], "only the first split chooses"
