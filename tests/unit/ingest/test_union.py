"""Unions and subsets: every sample once an epoch, each with a name of its own, whoever reads them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.vocabulary import Domain
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.ingest.lanes import lane_rows
from pipelines.ingest.quarantine import Quarantined
from pipelines.ingest.sample_table import SampleTable
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion, union_digest
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from tests.synthetic_datasets import manifest_of, pair_rows, scene_rows, write_dataset

BATCH = 6

shard_sizes = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=4)
members = st.lists(shard_sizes, min_size=1, max_size=3)


def manifests_of(sizes: list[list[list[int]]]) -> list[Manifest]:
    return [manifest_of(shards, sha256=f"{number:064x}") for number, shards in enumerate(sizes)]


def references(plan: EpochPlan, epoch: int) -> list[tuple[int, ...]]:
    start = epoch * plan.num_samples
    return [
        tuple(map(int, reference))
        for run in plan.runs(start, start + plan.num_samples)
        for reference in run.references
    ]


def all_references(sizes: list[list[list[int]]]) -> set[tuple[int, int, int]]:
    shards = itertools.chain(*sizes)
    return {
        (shard, group, offset)
        for shard, groups in enumerate(shards)
        for group, samples in enumerate(groups)
        for offset in range(samples)
    }


@given(members, st.integers(0, 99), st.integers(0, 3), st.integers(1, 5))
@settings(max_examples=80)
def test_every_epoch_of_a_union_has_every_sample_of_each_member_once(
    sizes: list[list[list[int]]], seed: int, epoch: int, pool: int
) -> None:
    plan = EpochPlan(SampleTable(manifests_of(sizes)), Domain.REAL, seed, pool)
    planned = references(plan, epoch)
    assert len(planned) == len(set(planned)) == plan.num_samples
    assert set(planned) == all_references(sizes)


@given(members, st.integers(1, 60), st.integers(0, 99), st.integers(1, 5))
@settings(max_examples=80)
def test_every_epoch_of_a_subset_has_the_same_samples_once(
    sizes: list[list[list[int]]], limit: int, seed: int, pool: int
) -> None:
    table = SampleTable(manifests_of(sizes), limit=limit)
    everything = all_references(sizes)
    assert table.num_samples == min(limit, len(everything))
    chosen = {table.reference(number) for number in range(table.num_samples)}
    assert len(chosen) == table.num_samples
    assert chosen <= everything
    plan = EpochPlan(table, Domain.REAL, seed, pool)
    for epoch in (0, 1, 7):
        planned = references(plan, epoch)
        assert len(planned) == plan.num_samples
        assert set(planned) == chosen


@given(members, st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60)
def test_a_smaller_limit_takes_a_part_of_a_larger_one(
    sizes: list[list[list[int]]], first: int, second: int
) -> None:
    small, large = sorted((first, second))
    tables = [SampleTable(manifests_of(sizes), limit=limit) for limit in (small, large)]
    of_small, of_large = ({t.reference(n) for n in range(t.num_samples)} for t in tables)
    assert of_small <= of_large


@given(members, st.integers(1, 60) | st.none(), st.sampled_from(["", "split == 'b'"]))
@settings(max_examples=60)
def test_numbers_count_samples_in_file_order(
    sizes: list[list[list[int]]], limit: int | None, expression: str
) -> None:
    manifests = manifests_of(sizes)
    if expression and not all(any(n > 1 for groups in shards for n in groups) for shards in sizes):
        with pytest.raises(ValueError, match="picks nothing"):
            SampleTable(manifests, Selection(expression), limit)
        return
    table = SampleTable(manifests, Selection(expression), limit)
    in_order = [table.reference(number) for number in range(table.num_samples)]
    assert in_order == sorted(in_order)
    assert table.numbers(np.array(in_order, np.int32)).tolist() == list(range(table.num_samples))
    shards = range(sum(len(shards) for shards in sizes))
    slices = [table.shard_numbers(shard) for shard in shards]
    assert [number for part in slices for number in range(part.start, part.stop)] == list(
        range(table.num_samples)
    )
    assert all({s for s, _, _ in in_order[part]} <= {shard} for shard, part in enumerate(slices))


@pytest.mark.slow
@given(members, st.integers(1, 40), st.integers(0, 99), st.lists(st.integers(0, 200), min_size=2, max_size=5))
@settings(max_examples=60)
def test_any_cut_of_a_subset_of_a_union_gives_the_same_stream(
    sizes: list[list[list[int]]], limit: int, seed: int, cuts: list[int]
) -> None:
    plan = EpochPlan(SampleTable(manifests_of(sizes), limit=limit), Domain.REAL, seed)

    def stream(start: int, stop: int) -> list[list[int]]:
        return [reference for run in plan.runs(start, stop) for reference in run.references.tolist()]

    cuts = sorted(cuts)
    pieces = [reference for a, b in itertools.pairwise(cuts) for reference in stream(a, b)]
    assert pieces == stream(cuts[0], cuts[-1])


@given(members, st.integers(1, 60) | st.none(), st.integers(0, 9), st.integers(2, 20), st.integers(0, 50))
@settings(max_examples=40)
def test_windows_cover_all_steps_of_a_subset_of_a_union(
    sizes: list[list[list[int]]], limit: int | None, seed: int, batch_size: int, start: int
) -> None:
    nowhere = Location.of("/nowhere")
    union = DatasetUnion(tuple(Dataset(nowhere, manifest) for manifest in manifests_of(sizes)), Domain.REAL)
    spec = StreamSpec(union, batch_size, seed, limit=limit)
    stop = start + 3 * -(-spec.plan.num_samples // batch_size) + 40
    windows = spec.windows(start, stop)
    steps = [step for first, last in windows for step in range(first, last)]
    assert steps == list(range(start, stop))


def test_a_limit_of_all_samples_and_a_union_of_one_change_no_order() -> None:
    manifest = manifest_of([[3, 3, 2], [3, 1]])
    plain = EpochPlan(SampleTable([manifest]), Domain.REAL, seed=7)
    for limit in (12, 13, None):
        assert references(EpochPlan(SampleTable([manifest], limit=limit), Domain.REAL, 7), 2) == references(
            plain, 2
        )


def test_a_limit_chooses_by_content_and_from_everywhere() -> None:
    first, second = (manifest_of([[8] * 5] * 10, sha256=digit * 64) for digit in "ab")
    tables = [SampleTable([manifest], limit=40) for manifest in (first, first, second)]
    chosen = [[table.reference(number) for number in range(40)] for table in tables]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len({shard for shard, _, _ in chosen[0]}) == 10
    assert 1 < np.mean([offset for _, _, offset in chosen[0]]) < 6
    with pytest.raises(ValueError, match="a limit of 0 samples"):
        SampleTable([first], limit=0)


def test_both_members_are_mixed_in_every_part_of_an_epoch() -> None:
    table = SampleTable(manifests_of([[[16] * 20], [[10] * 40]]))
    plan = EpochPlan(table, Domain.REAL, seed=2)
    shards = np.array([shard for shard, _, _ in references(plan, 0)])
    shares = [part.mean() for part in np.array_split(shards, 6)]
    assert min(shares) > 0.3
    assert max(shares) < 0.8


# -- reading


@pytest.fixture
def fusion(tmp_path: Path) -> DatasetUnion:
    """Write a real data set of pairs and a rendered one of scenes, with a broken picture in each."""
    pairs, scenes = pair_rows(15), scene_rows(2)
    pairs[5]["composite"] = pairs[5]["composite"][:-30]
    scenes[1]["images"][3] = b"\xff\xd8broken"
    real = write_dataset(Location.of(tmp_path / "pairs"), pairs, 4)
    rendered = write_dataset(Location.of(tmp_path / "scenes"), scenes, 1)
    return DatasetUnion((real, rendered), Domain.REAL)


def spec_of(dataset: Dataset | DatasetUnion, limit: int | None = None) -> StreamSpec:
    return StreamSpec(dataset, BATCH, seed=1, size=16, pool_row_groups=2, timeout_seconds=0.0, limit=limit)


def by_step(blocks: list[Block]) -> list[Block]:
    """Blocks of whole steps, whose samples are in the order of the global batch."""
    steps = sorted({int(block["step"][0]) for block in blocks})
    joined = []
    for step in steps:
        parts = [block for block in blocks if block["step"][0] == step]
        order = np.argsort(np.concatenate([part["index"] for part in parts]))
        joined.append({name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]})
    return joined


@pytest.mark.parametrize("limit", [None, 20])
def test_a_union_of_pairs_and_scenes_has_every_sample_once_and_no_styles(
    fusion: DatasetUnion, limit: int | None
) -> None:
    spec = spec_of(fusion, limit)
    samples = limit or 35
    assert spec.plan.num_samples == samples
    blocks = list(read_window(spec, 0, 2 * samples, BATCH))  # twelve epochs
    assert all("composite_style" not in block for block in blocks)
    assert blocks[0]["composite"].shape == (BATCH, 16, 16, 3)
    expected = {f"1:HCOCO/c{n:02d}" for n in range(15)} | {
        f"2:SHuman/{n:03d}:{c}" for n in range(2) for c in range(10)
    }
    epochs = np.concatenate([block["epoch"] for block in blocks])
    ids = [sample_id for block in blocks for sample_id in block["id"].tolist()]
    quarantined = [
        Quarantined.from_json(text) if text else None for block in blocks for text in block["quarantined"]
    ]
    names = [entry.id if entry else sample_id for sample_id, entry in zip(ids, quarantined, strict=True)]
    planned = [{names[i] for i in np.flatnonzero(epochs == epoch)} for epoch in range(12)]
    assert np.bincount(epochs).tolist() == [samples] * 12
    assert all(len(of_epoch) == samples for of_epoch in planned)
    assert all(of_epoch == planned[0] for of_epoch in planned)
    assert planned[0] <= expected
    if limit is None:
        assert {(entry.domain, entry.shard, entry.id) for entry in quarantined if entry} >= {
            ("real", "1:part-00001.parquet", "1:HCOCO/c05"),
            ("real", "2:part-00001.parquet", "2:SHuman/001:3"),
        }


@pytest.mark.parametrize("limit", [None, 20])
def test_a_union_is_the_same_for_any_number_of_workers_and_from_any_step(
    fusion: DatasetUnion, limit: int | None
) -> None:
    spec = replace(spec_of(fusion, limit), batch_size=12)
    whole = list(read_window(spec, 0, 7, 12))
    for workers in (2, 3, 6):
        blocks = list(read_window(spec, 0, 7, lane_rows(12, workers)))
        for got, wanted in zip(by_step(blocks), whole, strict=True):
            for name in set(wanted) - {"lane"}:
                np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)
    for start in (1, 4):
        for got, wanted in zip(read_window(spec, start, 7, 12), whole[start:], strict=True):
            for name in wanted:
                np.testing.assert_array_equal(got[name], wanted[name], err_msg=name)


def test_members_that_share_ids_keep_their_samples_apart(tmp_path: Path) -> None:
    sets = [write_dataset(Location.of(tmp_path / str(n)), pair_rows(6, seed=n), 3) for n in range(2)]
    spec = spec_of(DatasetUnion(tuple(sets), Domain.REAL))
    blocks = list(read_window(spec, 0, 2, BATCH))
    ids = {sample_id for block in blocks for sample_id in block["id"].tolist()}
    assert ids == {f"{member}:HCOCO/c{n:02d}" for member in (1, 2) for n in range(6)}


def test_a_union_of_rendered_sets_keeps_its_styles(tmp_path: Path) -> None:
    sets = [write_dataset(Location.of(tmp_path / str(n)), scene_rows(1, seed=n), 1) for n in range(2)]
    (block,) = read_window(spec_of(DatasetUnion(tuple(sets), Domain.RENDERED)), 0, 1, BATCH)
    assert block["composite_style"].shape == (BATCH, 10)


def test_a_single_set_is_read_as_if_there_were_no_unions(fusion: DatasetUnion) -> None:
    (single, _) = fusion.members
    plain, union = (
        list(read_window(spec_of(dataset), 0, 6, BATCH))
        for dataset in (single, DatasetUnion((single,), Domain.REAL))
    )
    for got, wanted in zip(union, plain, strict=True):
        for name in wanted:
            np.testing.assert_array_equal(got[name], wanted[name])
    assert union_digest([single.manifest]) == single.manifest.digest


def test_a_union_is_of_different_data_sets_in_an_order(fusion: DatasetUnion) -> None:
    first, second = fusion.members
    assert fusion.digest != DatasetUnion((second, first), Domain.REAL).digest
    assert DatasetUnion.open(fusion.uris, Domain.REAL).digest == fusion.digest
    with pytest.raises(ValueError, match="the same data as"):
        DatasetUnion((first, first), Domain.REAL)
    with pytest.raises(ValueError, match="no data sets"):
        DatasetUnion((), Domain.REAL)


def test_a_selection_has_to_pick_something_of_every_member(fusion: DatasetUnion) -> None:
    spec = replace(spec_of(fusion), selection=Selection("split == 'train'"))
    with pytest.raises(ValueError, match="picks nothing of the rendered data set"):
        _ = spec.plan
