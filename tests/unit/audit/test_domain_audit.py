"""The audit of unions and subsets holds where every sample was delivered once, and names others."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from charmnet.vocabulary import Domain
from pipelines.audit.domain_audit import DomainAudit, DomainReport
from pipelines.audit.logs import log_files
from pipelines.audit.sample_ids import SampleIds
from pipelines.conversion.webdataset import index_archive
from pipelines.ingest.quarantine import Quarantined
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion
from pipelines.ingest.window import read_window
from pipelines.runs.delivery_log import DeliveryLog
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.stratum import Stratum
from pipelines.training.coordinator import RunCoordinator
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset

BATCH, STEPS = 4, 29


def union(folder: Path) -> DatasetUnion:
    """Two sets of pairs that share their ids and a set of scenes; one picture of each is broken."""
    parts = [pair_rows(9), pair_rows(8, seed=1), scene_rows(2)]
    for rows in parts[:2]:
        rows[5]["composite"] = rows[5]["composite"][:-30]
    parts[2][1]["images"][3] = b"\xff\xd8broken"
    datasets = [
        write_dataset(Location.of(folder / str(number)), rows, rows_per_shard)
        for number, (rows, rows_per_shard) in enumerate(zip(parts, (3, 4, 1), strict=True))
    ]
    return DatasetUnion(tuple(datasets), Domain.REAL)


@pytest.fixture(params=[None, 16], ids=["all", "limit"])
def spec(tmp_path: Path, request: pytest.FixtureRequest) -> StreamSpec:
    return StreamSpec(
        union(tmp_path / "data"), BATCH, seed=3, size=16, pool_row_groups=2, limit=request.param
    )


def logged(spec: StreamSpec, folder: Path) -> tuple[pa.Table, set[str]]:
    """Return the rows that a worker logs of all steps, and the ids of quarantined samples."""
    run = Location.of(folder / "run")
    coordinator = RunCoordinator({"real": 100})
    log = DeliveryLog(run, 1, 0, True, coordinator, 1.0)
    quarantined: set[str] = set()
    for step, block in enumerate(read_window(spec, 0, STEPS, BATCH), start=1):
        log.add(step, {spec.domain: block})
        quarantined |= {Quarantined.from_json(text).id for text in block["quarantined"] if text}
    log.flush()
    (file,) = log_files(run)[1]
    return file.read(), quarantined


def audit(spec: StreamSpec, table: pa.Table, quarantined: set[str]) -> DomainReport:
    audit = DomainAudit(spec, quarantined)
    for first, last in ((1, 10), (11, STEPS)):
        steps = table["step"].to_numpy()
        audit.check(table.filter(pa.array((steps >= first) & (steps <= last))), first, last)
    return audit.finish()


def test_what_was_delivered_once_holds(spec: StreamSpec, tmp_path: Path) -> None:
    table, quarantined = logged(spec, tmp_path)
    report = audit(spec, table, quarantined)
    assert report.problems == []
    assert report.samples == (spec.limit or 37)
    assert report.epochs == -(-STEPS * BATCH // report.samples)
    assert (report.rows, report.missing, report.twice) == (STEPS * BATCH, 0, 0)
    assert report.substitutes == len([None for entry in table["substitute_for"].to_pylist() if entry])
    if spec.limit is None:
        assert quarantined >= {"1:HCOCO/c05", "2:HCOCO/c05", "3:SHuman/001:3"}


def test_a_sample_of_another_member_is_found_out(spec: StreamSpec, tmp_path: Path) -> None:
    table, quarantined = logged(spec, tmp_path)
    ids = table["id"].to_pylist()
    clean = [row for row, other in enumerate(table["substitute_for"].to_pylist()[:16]) if not other]
    row = next(row for row in clean if ids[row].startswith("1:"))
    ids[row] = ids[row].replace("1:", "2:", 1)
    column = table.schema.get_field_index("id")
    report = audit(spec, table.set_column(column, table.schema.field(column), pa.array(ids)), quarantined)
    assert report.missing == 1
    assert report.differing >= 2
    assert f"{ids[row]}" in report.problems[0]
    assert "the plan says 1:" in report.problems[0]


def test_another_limit_or_order_of_members_is_found_out(spec: StreamSpec, tmp_path: Path) -> None:
    table, quarantined = logged(spec, tmp_path)
    assert isinstance(spec.dataset, DatasetUnion)
    first, *others = spec.dataset.members
    reordered = replace(spec, dataset=DatasetUnion((*others, first), Domain.REAL))
    assert audit(reordered, table, quarantined).differing
    assert audit(replace(spec, limit=15), table, quarantined).differing


def test_every_sample_that_takes_part_has_a_hash_of_its_own(spec: StreamSpec) -> None:
    hashes = SampleIds(spec).hashes
    assert len(np.unique(hashes)) == len(hashes) == (spec.limit or 37)


def test_ids_of_an_archive_in_a_union_are_learnt_from_its_deliveries(tmp_path: Path) -> None:
    rows = pair_rows(5, seed=2)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for row in rows:
            parts = {
                "composite.jpg": "composite",
                "ground_truth.jpg": "ground_truth",
                "mask.png": "foreground_mask",
            }
            for suffix, name in parts.items():
                entry = tarfile.TarInfo(f"{row['id']}.{suffix}")
                entry.size = len(row[name])
                tar.addfile(entry, io.BytesIO(row[name]))
    source = Location.of(tmp_path)
    index_archive(source, "a.tar", Stratum(Domain.REAL, "HCOCO", None, ())).manifest.save(source)
    pairs = write_dataset(source / "pairs", pair_rows(6), 3)
    spec = StreamSpec(DatasetUnion((pairs, Dataset.open(source)), Domain.REAL), BATCH, seed=1, size=16)
    assert (SampleIds(spec).hashes == 0).tolist() == [False] * 6 + [True] * 5
    table, quarantined = logged(spec, tmp_path)
    report = audit(spec, table, quarantined)
    assert (report.problems, report.samples, report.rows) == ([], 11, STEPS * BATCH)
    last = int(np.flatnonzero([sample_id.startswith("2:") for sample_id in table["id"].to_pylist()])[-1])
    ids = table["id"].to_pylist()
    ids[last] = "2:HCOCO/other"
    column = table.schema.get_field_index("id")
    report = audit(spec, table.set_column(column, table.schema.field(column), pa.array(ids)), quarantined)
    assert "2:HCOCO/other (not in the data set)" in report.problems[0]
