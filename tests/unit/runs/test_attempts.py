"""Attempts are numbered, and name the data sets that they streamed."""

from __future__ import annotations

from pathlib import Path

from charmnet.vocabulary import Domain
from pipelines.ingest.union import DatasetUnion
from pipelines.runs.attempts import begin_attempt, read_attempts
from pipelines.runtime.storage import Location
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset


def test_attempts_are_numbered_and_name_one_data_set_or_a_list(tmp_path: Path) -> None:
    folder = Location.of(tmp_path)
    real = write_dataset(folder / "real", pair_rows(2), 2)
    rendered = write_dataset(folder / "rendered", scene_rows(1), 1)
    run = folder / "run"
    for datasets in (
        {Domain.REAL: real, Domain.RENDERED: rendered},
        {Domain.REAL: DatasetUnion((real, rendered), Domain.REAL)},
    ):
        begin_attempt(run, 0, parent=None, workers=1, audited=True, datasets=datasets)
    first, second = read_attempts(run).values()
    assert (first.number, second.number) == (1, 2)
    assert first.datasets == {"real": str(real.location), "rendered": str(rendered.location)}
    assert second.datasets == {"real": [str(real.location), str(rendered.location)]}
