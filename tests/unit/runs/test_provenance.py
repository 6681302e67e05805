"""Provenance of models: the data of their training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charmnet.methods import CharmNetMethod, IDIHMethod
from charmnet.vocabulary import Domain
from charmnet.weights import save_checkpoint
from pipelines.config.train_config import TrainConfig
from pipelines.runs.models import load_with_provenance
from pipelines.runs.provenance import Provenance
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.storage import Location
from pipelines.shards.stratum import Stratum

TRAIN = Stratum(Domain.REAL, "HCOCO", "dog", ("train",))
VALIDATION = Stratum(Domain.REAL, "HCOCO", "dog", ("validation", "other"))
TEST = Stratum(Domain.REAL, "HCOCO", "dog", ("test",))
RENDERED = Stratum(Domain.RENDERED, "SHuman", "human", ("validation",))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return the folder of a run, by split names, with a best and a last checkpoint."""
    config = TrainConfig(
        method="idih", width=8, real_select="split == 'train'", validate_splits=("validation", "test")
    )
    folder = tmp_path / "run"
    RunFolder(Location.of(folder)).claim("run", config, {"real": "digest"})
    metadata = {"step": 9, "config": config.to_json(), "metrics": {"eval/validation/fmse": 1.0}}
    for name in ("checkpoint-000000009", "best/checkpoint-000000006"):
        save_checkpoint(folder / name, IDIHMethod(width=8, seed=0), metadata)
    (folder / "best.json").write_text(json.dumps({"checkpoint": "best/checkpoint-000000006"}))
    return folder


def test_a_runs_best_was_chosen_by_the_first_split_alone(run_folder: Path) -> None:
    for uri in (run_folder, run_folder / "best" / "checkpoint-000000006"):
        _, provenance = load_with_provenance(str(uri))
        assert provenance.chosen_by == "validation"
        (note,) = provenance.notes("another", [VALIDATION, TEST, TEST, RENDERED])
        assert "chosen by its error on the split validation, and 1 of the 4 images" in note
        assert provenance.notes("another", [TEST, RENDERED]) == []


def test_the_last_checkpoint_was_not_chosen(run_folder: Path) -> None:
    _, provenance = load_with_provenance(str(run_folder / "checkpoint-000000009"))
    assert provenance.chosen_by is None
    (note,) = provenance.notes("another", [TRAIN, TRAIN, VALIDATION])
    assert "trained on 2 of the 3 images" in note


def test_where_splits_have_equal_names_alone_the_notes_are_hedged(run_folder: Path) -> None:
    _, provenance = load_with_provenance(str(run_folder))
    same, another = (provenance.notes(digest, [TRAIN, VALIDATION]) for digest in ("digest", "another"))
    assert len(same) == len(another) == 2
    for sure, hedged in zip(same, another, strict=True):
        assert "their figures are too good;" in sure
        assert "their figures are too good if the photographs are the same" in hedged


def test_a_run_may_be_called_best(run_folder: Path) -> None:
    folder = run_folder.rename(run_folder.with_name("best"))
    last, best = folder / "checkpoint-000000009", folder / "best" / "checkpoint-000000006"
    assert load_with_provenance(str(last))[1].chosen_by is None
    assert load_with_provenance(str(best))[1].chosen_by == "validation"


def test_a_selection_without_splits_is_held_against_its_own_data_alone(run_folder: Path) -> None:
    config = TrainConfig(method="idih", width=8, real_select="category == 'dog'")
    method, checkpoint = IDIHMethod(width=8), Location.of(run_folder / "checkpoint-000000009")
    provenance = Provenance.of(method, {"config": config.to_json()}, checkpoint)
    assert provenance.digests == {"real": "digest"}
    assert provenance.notes("another", [TEST]) == []
    assert len(provenance.notes("digest", [TEST])) == 1
    assert provenance.notes("digest", [RENDERED]) == [], "iDIH was not trained on renders"
    moved = Provenance.of(method, {"config": config.to_json()}, Location.of(run_folder.parent / "c"))
    assert moved.notes("digest", [TEST]) == []


def test_of_other_models_nothing_is_known(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint", CharmNetMethod(width=8, seed=0), {"step": 1})
    _, provenance = load_with_provenance(str(tmp_path / "checkpoint"))
    assert provenance == Provenance()
    assert provenance.notes("digest", [TRAIN, RENDERED]) == []


def test_a_registered_version_is_the_best_where_there_was_validation() -> None:
    method = CharmNetMethod(width=8)
    config = TrainConfig(validate_splits=("validation",)).to_json()
    metadata = {"config": config, "metrics": {"eval/validation/fmse": 1.0}}
    best = Provenance.of(method, metadata, is_version=True)
    assert (best.chosen_by, set(best.selections)) == ("validation", {Domain.REAL, Domain.RENDERED})
    assert Provenance.of(method, {"config": config, "metrics": {}}, is_version=True).chosen_by is None
    by_id = Provenance.of(method, metadata)
    assert (by_id.chosen_by, by_id.selections) == (None, best.selections)
