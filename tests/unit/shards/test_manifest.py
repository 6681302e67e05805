import copy
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.schema import RowKind
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
strata = st.builds(
    Stratum,
    st.just(Domain.REAL),
    names,
    st.none() | names,
    st.lists(names, max_size=3, unique=True).map(tuple),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    known = draw(st.lists(strata, min_size=1, max_size=4, unique=True))
    counts = st.tuples(st.integers(1, 64), st.integers(1, 640))
    held = st.dictionaries(st.integers(0, len(known) - 1), counts, min_size=1)

    def group(held: dict[int, tuple[int, int]]) -> RowGroup:
        rows, samples = (sum(column) for column in zip(*held.values(), strict=True))
        return RowGroup(rows, samples, 1000, held)

    groups = st.lists(held.map(group), min_size=1, max_size=3).map(tuple)
    shards = [
        Shard(f"part-{index:05d}.parquet", 5000, f"{index:064x}", draw(groups))
        for index in range(draw(st.integers(0, 3)))
    ]
    return Manifest(
        RowKind.PAIR, Container.PARQUET, Domain.REAL, tuple(known), tuple(shards), {3: 7}, {"a": 1}
    )


@given(manifests())
def test_a_manifest_survives_json(manifest: Manifest) -> None:
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


@given(st.lists(manifests(), min_size=1, max_size=3))
def test_merging_keeps_every_count(parts: list[Manifest]) -> None:
    merged = Manifest.merged(parts, {"command": "x"})
    assert merged.rows == sum(part.rows for part in parts)
    assert merged.samples == sum(part.samples for part in parts)
    assert merged.conditions == {3: 7 * len(parts)}
    assert len(set(merged.strata)) == len(merged.strata)
    for field, totals in merged.totals().items():
        for name, rows in totals.items():
            assert rows == sum(part.totals()[field].get(name, 0) for part in parts)


@given(manifests(), st.data())
def test_columns_agree_with_the_row_groups(manifest: Manifest, data: st.DataObject) -> None:
    selected = data.draw(st.lists(st.booleans(), min_size=4, max_size=4))[: len(manifest.strata)]
    groups = list(manifest.groups())
    assert [(shard, group) for shard, group, _ in groups] == list(
        map(tuple, manifest.table.group_indices().tolist())
    )
    assert manifest.table.selected_samples(selected).tolist() == [
        sum(samples for index, (_, samples) in group.strata.items() if selected[index])
        for _, _, group in groups
    ]
    copy_of_it = pickle.loads(pickle.dumps(manifest))
    assert copy_of_it == manifest
    assert list(copy_of_it.shards[1:]) == list(manifest.shards)[1:]


def test_many_row_groups_take_little_memory() -> None:
    group = RowGroup(64, 64, 600_000, {0: (64, 64)}, offset=10_000_000)
    shards = [Shard(f"part-{n:08d}.parquet", 9_600_000, f"{n:064x}", (group,) * 160) for n in range(100)]
    stratum = Stratum(Domain.REAL, "HCOCO", None, ("train",))
    manifest = Manifest(RowKind.PAIR, Container.TAR, Domain.REAL, (stratum,), tuple(shards))
    assert len(pickle.dumps(manifest)) < 32 * 16_000
    assert manifest.shards[-1].row_groups[-1] == group
    with pytest.raises(IndexError):
        manifest.shards[100]


def test_manifests_of_different_kinds_do_not_merge() -> None:
    parts = [
        Manifest(RowKind.PAIR, Container.PARQUET, Domain.REAL, (), ()),
        Manifest(RowKind.PAIR, Container.PARQUET, Domain.RENDERED, (), ()),
    ]
    with pytest.raises(ValueError, match="2 kinds"):
        Manifest.merged(parts, {})


def _manifest() -> Manifest:
    stratum = Stratum(Domain.RENDERED, "SHuman", "human", ("train",))
    group = RowGroup(2, 20, 100, {0: (2, 20)})
    shard = Shard("part-00000.parquet", 200, "a" * 64, (group,))
    return Manifest(RowKind.SCENE, Container.PARQUET, Domain.RENDERED, (stratum,), (shard,))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["schema_version"], 99, "schema_version is 99"),
        (["kind"], "triple", "triple"),
        (["domain"], "painted", "painted"),
        (["rows"], 3, "add up"),
        (["strata"], [], "add up"),
        (["shards", 0, "path"], "../elsewhere.parquet", "relative path"),
        (["shards", 0, "path"], "s3://other/part.parquet", "relative path"),
        (["shards", 0, "sha256"], "abc", "64 hex digits"),
        (["shards", 0, "row_groups", 0, "rows"], 5, "add up"),
        (["shards", 0, "row_groups", 0, "samples"], -20, "count"),
        (["shards", 0, "bytes"], True, "count"),
        (["shards"], None, "TypeError"),
        (["strata", 0, "category"], ["human"], "expected a name"),
        (["strata", 0, "splits", 0], ["train"], "expected a name"),
        (["conditions"], [], "AttributeError"),
    ],
)
def test_a_broken_manifest_is_refused_by_name(path: list, value: object, named: str) -> None:
    broken = json.loads(json.dumps(_manifest().to_json()))
    part = broken
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(DataError, match=named):
        Manifest.from_json(broken)


@pytest.mark.parametrize("value", [None, [], "text", {}, 3])
def test_other_json_is_no_manifest(value: object) -> None:
    with pytest.raises(DataError, match=r"manifest\.json"):
        Manifest.from_json(value)


@pytest.mark.parametrize("name", ["kind", "container", "strata", "shards", "source", "conditions", "rows"])
def test_a_missing_field_is_named(name: str) -> None:
    value = copy.deepcopy(_manifest().to_json())
    del value[name]
    with pytest.raises(DataError, match=name):
        Manifest.from_json(value)


def test_a_saved_manifest_is_loaded_again(tmp_path: Path) -> None:
    folder = Location.of(tmp_path / "data")
    _manifest().save(folder)
    assert Manifest.load(folder) == _manifest()
    with pytest.raises(DataError, match="charmnet shard"):
        Manifest.load(folder / "nothing")


def test_the_digest_depends_on_the_content_alone() -> None:
    manifest = _manifest()
    value = manifest.to_json()
    value["source"] = {"command": "moved"}
    assert Manifest.from_json(value).digest == manifest.digest
    value["shards"][0]["sha256"] = "b" * 64
    assert Manifest.from_json(value).digest != manifest.digest
