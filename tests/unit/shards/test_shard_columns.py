"""A manifest whose shards are in a parquet file says what it says as JSON; a broken file is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.errors import DataError
from pipelines.runtime.storage import Location
from pipelines.shards import manifest as module
from pipelines.shards.manifest import MANIFEST_NAME, MAX_LISTED_SHARDS, Manifest
from pipelines.shards.shard_columns import SCHEMA, _arrow_table
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.tracking import Tracker
from pipelines.training.record import record_manifest
from tests.synthetic_datasets import manifest_of

counts = st.integers(1, 2**40)
offsets = st.none() | st.integers(0, 2**40)
groups = st.builds(
    lambda strata, size, offset: RowGroup(
        sum(rows for rows, _ in strata.values()),
        sum(samples for _, samples in strata.values()),
        size,
        strata,
        offset,
    ),
    st.dictionaries(st.integers(0, 1), st.tuples(counts, counts), min_size=1),
    counts,
    offsets,
)


def with_shards(shards: list[list[RowGroup]]) -> Manifest:
    entries = tuple(
        Shard(f"part-{n:05d}.parquet", 2**33 + n, f"{n:064x}", tuple(held)) for n, held in enumerate(shards)
    )
    template = manifest_of([[4, 4]])
    return Manifest(template.kind, template.container, template.domain, template.strata, entries)


@pytest.fixture(autouse=True, scope="module")
def columns_always() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_LISTED_SHARDS", 0)
        yield


@given(st.lists(st.lists(groups, min_size=1, max_size=4), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_columns_hold_what_the_list_holds(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[RowGroup]]
) -> None:
    folder = Location.of(tmp_path_factory.mktemp("columns"))
    manifest = with_shards(shards)
    manifest.save(folder)
    loaded = Manifest.load(folder)
    assert loaded == manifest
    assert loaded.digest == manifest.digest
    assert loaded.to_json() == manifest.to_json()
    for name in ("bytes", "rows", "group_bytes", "offsets", "stratum_samples"):
        assert getattr(loaded.table, name).dtype == getattr(manifest.table, name).dtype


def test_parts_of_a_file_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.shards.shard_columns._SHARDS_PER_PART", 2)
    manifest = manifest_of([[3, 5], [7], [2, 2, 2], [300], [1]])
    manifest.save(Location.of(tmp_path))
    assert Manifest.load(Location.of(tmp_path)) == manifest


def test_few_shards_stay_in_the_json_and_many_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTED_SHARDS", MAX_LISTED_SHARDS)
    few, many = (manifest_of([[4]] * count) for count in (MAX_LISTED_SHARDS, MAX_LISTED_SHARDS + 1))
    assert list(few.files()) == [MANIFEST_NAME]
    assert json.loads(few.files()[MANIFEST_NAME]) == json.loads(json.dumps(few.to_json()))
    columns, last = many.files()
    assert (columns.endswith(".parquet"), last) == (True, MANIFEST_NAME)  # which makes it a data set
    head = json.loads(many.files()[MANIFEST_NAME])
    assert head["shards"]["path"] == columns
    assert (head["digest"], head["rows"]) == (many.digest, many.rows)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda _: b""])
def test_another_file_is_refused(tmp_path: Path, change: Any) -> None:
    folder = Location.of(tmp_path)
    manifest_of([[4, 2]]).save(folder)
    (columns,) = tmp_path.glob("*.parquet")
    columns.write_bytes(change(columns.read_bytes()))
    with pytest.raises(DataError, match=r"manifest-\w+.parquet: not the file that manifest.json was"):
        Manifest.load(folder)


@pytest.mark.parametrize(
    "entry", [{"path": "../x"}, {"path": "a.parquet"}, {"bytes": True}, {"bytes": -1}, {"bytes": 2**70}]
)
def test_an_entry_that_is_none_of_ours_is_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    folder = Location.of(tmp_path)
    manifest_of([[4, 2]]).save(folder)
    value = (folder / MANIFEST_NAME).read_json()
    value["shards"] |= entry
    (folder / MANIFEST_NAME).write_json(value)
    with pytest.raises(DataError, match="not a manifest of this project"):
        Manifest.load(folder)


def _negative(table: pa.Table) -> pa.Table:
    return table.set_column(2, SCHEMA.field("bytes"), pa.array([-1], pa.int64()))


def _huge(table: pa.Table) -> pa.Table:
    return table.set_column(2, SCHEMA.field("bytes"), pa.array([2**60], pa.int64()))


def _elsewhere(table: pa.Table) -> pa.Table:
    return table.set_column(0, SCHEMA.field("path"), pa.array(["../part"]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_negative, "expected counts"),
        (_huge, "expected counts"),
        (_elsewhere, "relative path"),
        (lambda table: table.drop_columns("bytes"), "columns"),
        (lambda table: table.slice(0, 0), "do not add up"),
        (None, "Parquet"),
    ],
)
def test_a_file_of_other_content_is_refused(tmp_path: Path, change: Any, reason: str) -> None:
    folder, manifest = Location.of(tmp_path), manifest_of([[4, 2]])
    manifest.save(folder)
    sink = pa.BufferOutputStream()
    if change is None:
        data = b"PAR1 and nothing"
    else:
        pq.write_table(change(_arrow_table(manifest.table)), sink)
        data = sink.getvalue().to_pybytes()
    value = (folder / MANIFEST_NAME).read_json()
    (folder / value["shards"]["path"]).write_bytes(data)
    value["shards"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / MANIFEST_NAME).write_json(value)
    with pytest.raises(DataError, match=reason):
        Manifest.load(folder)


def test_strata_that_do_not_add_up_are_refused() -> None:
    manifest = manifest_of([[4, 2]])
    manifest.table.rows = manifest.table.rows + np.uint8(1)
    with pytest.raises(ValueError, match="do not add up"):
        type(manifest.table).of_columns(
            [
                {
                    **vars(manifest.table),
                    "groups_of_shard": np.diff(manifest.table.group_starts),
                    "strata_of_group": np.diff(manifest.table.stratum_starts),
                }
            ]
        )


def test_a_run_records_both_files() -> None:
    class Recorder(Tracker):
        def __init__(self) -> None:
            self.files: dict[str, bytes] = {}

        def log_text(self, text: str, *, artifact_path: str) -> None:
            self.files[artifact_path] = text.encode()

        def log_file(self, path: Path, *, artifact_path: str) -> None:
            self.files[artifact_path] = path.read_bytes()

    recorder, manifest = Recorder(), manifest_of([[4, 2]])
    record_manifest(recorder, manifest, "real")
    assert recorder.files == {f"data/real-{name}": data for name, data in manifest.files().items()}
