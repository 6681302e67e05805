"""The audit holds where every sample was delivered once, and names what else its logs say."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from charmnet.vocabulary import Domain
from pipelines.commands.cli import main
from pipelines.config.train_config import TrainConfig
from pipelines.ingest.union import DatasetUnion
from pipelines.ingest.window import read_window
from pipelines.runs.attempts import Attempt
from pipelines.runs.delivery_log import AUDIT_SCHEMA, DeliveryLog
from pipelines.runs.run_folder import RunFolder
from pipelines.runtime.storage import Location
from pipelines.training.build import configured_method, stream_specs
from pipelines.training.coordinator import RunCoordinator
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset

BATCH, LANE, STEPS = 4, 2, 13
Rows = list[dict]


class Run:
    """A run's folder as workers leave it, written by the workers' own log from windows that are read here."""

    def __init__(
        self, folder: Location, broken: bool = False, real_union: bool = False, **options: int
    ) -> None:
        self.folder = folder / "run"
        real, rendered = pair_rows(17), scene_rows(2)
        if broken:
            real[5]["composite"] = real[5]["composite"][:-30]
        self.datasets: dict[Domain, DatasetUnion] = {
            Domain.REAL: DatasetUnion.of(write_dataset(folder / "real", real, rows_per_shard=3)),
            Domain.RENDERED: DatasetUnion.of(write_dataset(folder / "rendered", rendered, rows_per_shard=1)),
        }
        if real_union:  # with pairs that have the same ids, and with scenes
            pairs = write_dataset(folder / "more", pair_rows(3, seed=1), rows_per_shard=2)
            (scenes,) = self.datasets[Domain.RENDERED].members
            members = (*self.datasets[Domain.REAL].members, pairs, scenes)
            self.datasets[Domain.REAL] = DatasetUnion(members, Domain.REAL)
        config = TrainConfig(
            batch_size=BATCH, width=8, pool_row_groups=2, seed=3, steps=STEPS, audit=True, **options
        )
        specs = stream_specs(config, self.datasets, configured_method(config))
        digests = {domain.value: dataset.digest for domain, dataset in self.datasets.items()}
        RunFolder(self.folder).claim("run", config, digests)
        self.coordinator = RunCoordinator({"real": 1, "rendered": 1})
        self.lanes = {Domain(d): list(read_window(s, 0, STEPS, LANE)) for d, s in specs.items()}

    def attempt(
        self, number: int, parent: int | None, start: int, stop: int, saved: int, workers: int
    ) -> None:
        """Log the steps start+1..stop, of which those up to `saved` reached a checkpoint."""
        uris: dict[str, str | list[str]] = {
            domain.value: dataset.uris if len(dataset.uris) > 1 else dataset.uris[0]
            for domain, dataset in self.datasets.items()
        }
        attempt = Attempt(number, start, parent, workers, True, uris)
        (self.folder / f"attempts/{number:06d}.json").write_json(asdict(attempt))
        logs = [
            DeliveryLog(self.folder, number, rank, True, self.coordinator, 1.0) for rank in range(workers)
        ]
        for step in range(start + 1, stop + 1):
            for lane in range(BATCH // LANE):
                block = (step - 1) * (BATCH // LANE) + lane
                logs[lane % workers].add(step, {d: lanes[block] for d, lanes in self.lanes.items()})
        for log in logs:
            log.flush()
        if saved > start:
            metadata = {"step": saved, "attempt": number}
            path = self.folder / f"checkpoint-{saved:09d}/checkpoint.json"
            path.write_json({"metadata": metadata})

    def audit(self, tmp_path: Path) -> tuple[int, dict]:
        code = main(["audit", str(self.folder), "--json", str(tmp_path / "audit.json")])
        return code, json.loads((tmp_path / "audit.json").read_text())

    def rewrite(self, name: str, change: Callable[[Rows], Rows]) -> None:
        path = self.folder / "audit" / name
        rows = change(pq.read_table(io.BytesIO(path.read_bytes())).to_pylist())
        data = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, AUDIT_SCHEMA), data)
        path.write_bytes(data.getvalue())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Location.of(tmp_path))


def test_a_history_of_several_attempts_holds(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.attempt(1, None, 0, 7, saved=5, workers=1)  # steps 6 and 7 were lost
    run.attempt(2, 1, 5, 5, saved=0, workers=2)  # died before it did anything
    run.attempt(3, 1, 5, STEPS, saved=STEPS, workers=2)
    code, report = run.audit(tmp_path)
    assert code == 0
    assert report["attempts"] == [1, 3]
    assert report["superseded_steps"] == 2
    real, rendered = report["domains"]
    assert (real["epochs"], real["samples"], real["rows"]) == (4, 17, STEPS * BATCH)
    assert (rendered["epochs"], rendered["samples"], rendered["rows"]) == (3, 20, STEPS * BATCH)
    assert "exactly once: holds" in capsys.readouterr().out


def without_a_row(rows: Rows) -> Rows:
    return [row for row in rows if (row["step"], row["domain"], row["index"]) != (2, "real", 1)]


def with_one_twice(rows: Rows) -> Rows:
    ids = {(row["step"], row["domain"], row["index"]): row["id"] for row in rows}
    moved = ids[1, "rendered", 0]
    return [
        {**row, "id": moved} if (row["step"], row["domain"], row["index"]) == (2, "rendered", 1) else row
        for row in rows
    ]


def with_a_stranger(rows: Rows) -> Rows:
    return [{**row, "id": "HCOCO/other"} if row["step"] == 3 and row["index"] == 0 else row for row in rows]


def with_a_false_substitute(rows: Rows) -> Rows:
    return [{**rows[0], "substitute_for": rows[0]["id"], "tries": 2, "id": rows[1]["id"]}, *rows[1:]]


def with_a_false_epoch(rows: Rows) -> Rows:
    return [{**rows[0], "epoch": 7}, *rows[1:]]


def with_a_step_out_of_order(rows: Rows) -> Rows:
    return [{**rows[0], "step": 0}, *rows[1:]]


def without_a_step(rows: Rows) -> Rows:
    return [row for row in rows if row["step"] != 4]


@pytest.mark.parametrize(
    ("change", "domain", "figures", "message"),
    [
        (without_a_row, 0, {"missing": 1, "twice": 0}, "step 2: 3 samples logged, expected 4"),
        (with_one_twice, 1, {"missing": 1, "twice": 1}, "came twice"),
        (with_a_stranger, 0, {"missing": 1}, "step 3: HCOCO/other (not in the data set) at place 0"),
        (with_a_false_substitute, 0, {"substitutes": 1}, "which the quarantine list does not name"),
        (with_a_false_epoch, 0, {"missing": 0}, "is logged in epoch 7, the plan says 0"),
        (with_a_step_out_of_order, 0, {"missing": 1}, "step 0: HCOCO/"),
        (without_a_step, 1, {"missing": 4}, "step 4 has no sample logged"),
    ],
)
def test_what_is_wrong_in_a_log_is_named(
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Rows], Rows],
    domain: int,
    figures: dict,
    message: str,
) -> None:
    run.attempt(1, None, 0, STEPS, saved=STEPS, workers=1)
    run.rewrite("000001-000-000000001.parquet", change)
    code, report = run.audit(tmp_path)
    assert code == 1
    assert {name: report["domains"][domain][name] for name in figures} == figures
    assert message in capsys.readouterr().out


def test_a_lost_log_of_one_worker_is_missed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.attempt(1, None, 0, STEPS, saved=STEPS, workers=2)
    (run.folder / "audit/000001-001-000000001.parquet").delete()
    assert run.audit(tmp_path)[0] == 1
    assert "step 1: 2 samples logged, expected 4, at places [0, 1]" in capsys.readouterr().out


def test_a_chain_that_is_broken_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.attempt(2, 1, 5, STEPS, saved=STEPS, workers=1)
    assert main(["audit", str(run.folder)]) == 1
    assert "the checkpoint of step 5 says attempt 1" in capsys.readouterr().err


def test_a_substitute_stands_for_the_broken_sample_and_counts_for_it_alone(tmp_path: Path) -> None:
    run = Run(Location.of(tmp_path), broken=True)
    run.attempt(1, None, 0, STEPS, saved=STEPS, workers=2)
    code, report = run.audit(tmp_path)
    assert code == 0
    assert [domain["substitutes"] for domain in report["domains"]] == [3, 0]  # one in each finished epoch
    assert [domain["twice"] for domain in report["domains"]] == [0, 0]
    (entry,) = run.coordinator.quarantined()
    assert entry.id == "HCOCO/c05"
    assert "cut short or broken" in entry.reason


def test_the_audit_of_a_union_and_of_a_subset_holds(tmp_path: Path) -> None:
    run = Run(Location.of(tmp_path), real_union=True, rendered_limit=7)
    run.attempt(1, None, 0, 7, saved=5, workers=1)
    run.attempt(2, 1, 5, STEPS, saved=STEPS, workers=2)
    code, report = run.audit(tmp_path)
    real, rendered = report["domains"]
    assert code == 0
    assert (real["samples"], real["epochs"], real["rows"]) == (40, 2, STEPS * BATCH)
    assert (rendered["samples"], rendered["epochs"], rendered["rows"]) == (7, 8, STEPS * BATCH)


def test_a_union_in_another_order_is_another_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(Location.of(tmp_path), real_union=True)
    first, *others = run.datasets[Domain.REAL].members
    run.datasets[Domain.REAL] = DatasetUnion((*others, first), Domain.REAL)
    run.attempt(1, None, 0, STEPS, saved=STEPS, workers=1)
    assert main(["audit", str(run.folder)]) == 1
    assert "another data set than the run's by now" in capsys.readouterr().err
