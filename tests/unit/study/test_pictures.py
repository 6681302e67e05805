from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from charmnet.codecs import decode_rgb
from charmnet.methods import IDIHMethod
from pipelines.runtime.storage import Location
from pipelines.study.pictures import choose_pictures, harmonized, sheet
from pipelines.study.scores import RunScores
from pipelines.study.selections import RealData
from tests.study_data import study_photographs


def test_pictures_are_chosen_by_the_hash_of_their_names(tmp_path: Path) -> None:
    real = RealData(study_photographs(tmp_path, 40), "car")
    chosen = choose_pictures(real, 2)
    assert [picture.part for picture in chosen] == ["novel", "novel", "base", "base"]
    everything = choose_pictures(real, 100)
    for part in ("novel", "base"):
        names = [picture.row["id"] for picture in everything if picture.part == part]
        by_hash = sorted(names, key=lambda name: hashlib.sha256(f"0:{name}".encode()).hexdigest())
        assert [picture.row["id"] for picture in chosen if picture.part == part] == by_hash[:2]
    assert all(picture.row["splits"] == ["test"] for picture in everything)


def test_the_sheet_has_a_column_for_each_method(tmp_path: Path) -> None:
    real = RealData(study_photographs(tmp_path, 40), "car")
    chosen = choose_pictures(real, 1)
    method = IDIHMethod(width=4, seed=0)
    columns = {
        "composite": [picture.image().composite for picture in chosen],
        "iDIH, é": harmonized(method, chosen),
        "ground truth": [picture.image().ground_truth for picture in chosen],
    }
    drawn = decode_rgb(sheet(columns))
    assert drawn.shape == (22 + 2 * (256 + 6), 3 * 256 + 2 * 6, 3)
    first = drawn[22 : 22 + 256, :256].astype(float)
    assert np.abs(first - columns["composite"][0]).mean() < 8  # as JPEG has it


def test_scores_belong_to_a_model(tmp_path: Path) -> None:
    scores = RunScores(Location.of(tmp_path) / "figures")
    assert not scores.exist("a")
    (scores.location / "about.json").write_json({"model": "a"})
    assert scores.exist("a")
    assert not scores.exist("b")
