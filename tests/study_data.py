"""Small data sets and planners of studies, made without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.shards.stratum import Stratum
from pipelines.study.definition import Study, load_study
from pipelines.study.plan import StudySettings
from pipelines.study.planner import Planner
from pipelines.study.selections import RealData
from tests.synthetic_datasets import photograph_rows, scene_rows, write_dataset, write_photographs


def study_photographs(folder: Path, count: int = 20) -> Dataset:
    """Return photographs of cars and trees: of five pairs three of train, one of validation, one of test."""
    rows = photograph_rows(count)
    for number, row in enumerate(rows):
        row["splits"] = [("train", "train", "train", "validation", "test")[number // 2 % 5]]
    return write_photographs(Location.of(folder), rows, rows_per_shard=8)


def study_scenes(folder: Path, count: int = 2) -> Dataset:
    """Return rendered scenes of cars."""
    rows: list[Row] = [{**row, "category": "car"} for row in scene_rows(count)]
    return write_dataset(Location.of(folder), rows, rows_per_shard=count)


def planner(folder: Path, study: Study | None = None, **settings: Any) -> Planner:
    """Return the planner of a study, by default the poster, over small data."""
    real = RealData(study_photographs(folder / "real"), "car")
    rendered = study_scenes(folder / "rendered")
    chosen = StudySettings(Location.of(folder / "dest"), **{"scale": "mini", "seeds": 1, **settings})
    return Planner(study or load_study("poster"), chosen, real, rendered)


def stratum(category: str | None, *splits: str) -> Stratum:
    """Return a stratum of the real domain."""
    return Stratum(Domain.REAL, "HCOCO", category, splits)
