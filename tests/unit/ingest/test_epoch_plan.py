"""The plan of an epoch is a permutation, differs by epoch and seed, and costs no more for a longer epoch."""

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from charmnet.vocabulary import Domain
from pipelines.ingest.epoch_plan import EpochPlan
from pipelines.ingest.lanes import lane_rows
from pipelines.ingest.permutation import Permutation
from pipelines.ingest.row_group_reader import RowGroupReader
from pipelines.ingest.sample_fetcher import SampleFetcher
from pipelines.ingest.sample_table import SampleTable
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Container, Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING, Selection
from pipelines.shards.shard_table import RowGroup, Shard
from pipelines.shards.stratum import Stratum
from tests.synthetic_datasets import manifest_of, pair_rows, write_dataset


def plan_of(manifest: Manifest, selection: Selection = EVERYTHING, seed: int = 0, pool: int = 4) -> EpochPlan:
    return EpochPlan(SampleTable([manifest], selection), manifest.domain, seed, pool)


def stream(plan: EpochPlan, start: int, stop: int) -> list[tuple[int, ...]]:
    return [(run.epoch, *map(int, ref)) for run in plan.runs(start, stop) for ref in run.references]


shard_sizes = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=5)


@given(st.integers(0, 3000), st.integers(0, 5))
@settings(max_examples=60)
def test_permutation_reaches_every_element_once(size: int, key: int) -> None:
    order = Permutation(size, key)(np.arange(size, dtype=np.int64))
    assert sorted(order) == list(range(size))


@given(shard_sizes, st.integers(0, 99), st.integers(0, 3), st.integers(1, 5))
@settings(max_examples=100)
def test_every_epoch_delivers_every_sample_once(
    shards: list[list[int]], seed: int, epoch: int, pool: int
) -> None:
    plan = plan_of(manifest_of(shards), seed=seed, pool=pool)
    n = plan.num_samples
    got = stream(plan, epoch * n, (epoch + 1) * n)
    expected = {
        (epoch, s, g, o)
        for s, groups in enumerate(shards)
        for g, rows in enumerate(groups)
        for o in range(rows)
    }
    assert len(got) == len(expected)
    assert set(got) == expected


@pytest.mark.slow
@given(shard_sizes, st.integers(0, 99), st.lists(st.integers(0, 400), min_size=2, max_size=6))
@settings(max_examples=100)
def test_any_cut_gives_the_same_stream(shards: list[list[int]], seed: int, cuts: list[int]) -> None:
    plan = plan_of(manifest_of(shards), seed=seed)
    cuts = sorted(cuts)
    pieces = [sample for a, b in itertools.pairwise(cuts) for sample in stream(plan, a, b)]
    assert pieces == stream(plan, cuts[0], cuts[-1])


@given(shard_sizes, st.integers(0, 99), st.integers(2, 24), st.integers(2, 8))
@settings(max_examples=30)
def test_workers_get_disjoint_lanes_of_the_same_batches(
    shards: list[list[int]], seed: int, batch_size: int, workers: int
) -> None:
    assume(any(batch_size % rows == 0 and batch_size // rows // workers * rows >= 2 for rows in range(1, 25)))
    plan = plan_of(manifest_of(shards), seed=seed)
    steps = 2 * plan.num_samples // batch_size + 1
    rows = lane_rows(batch_size, workers)
    whole = stream(plan, 0, steps * batch_size)
    lanes = [whole[start : start + rows] for start in range(0, len(whole), rows)]
    shares = [sorted(sample for lane in lanes[rank::workers] for sample in lane) for rank in range(workers)]
    assert sorted(itertools.chain(*shares)) == sorted(whole)
    assert len(set(whole)) == len(whole)  # no sample of an epoch stands in two lanes
    for step in range(steps):  # any other number of workers is given the same batch
        batch = lanes[step * batch_size // rows : (step + 1) * batch_size // rows]
        assert list(itertools.chain(*batch)) == stream(plan, step * batch_size, (step + 1) * batch_size)


@given(shard_sizes, st.integers(0, 99), st.integers(0, 500), st.integers(1, 12))
@settings(max_examples=30)
def test_every_other_sample_of_the_epoch_may_be_a_substitute(
    shards: list[list[int]], seed: int, position: int, distance: int
) -> None:
    plan = plan_of(manifest_of(shards), seed=seed)
    substitutes = list(plan.substitutes(position, distance))
    n = plan.num_samples
    start = position - position % n
    epoch = [reference[1:] for reference in stream(plan, start, start + n)]
    first = (position + distance) % n
    assert substitutes == epoch[first:] + epoch[:first]


@given(shard_sizes.filter(lambda shards: sum(map(sum, shards)) > 20), st.integers(0, 99))
@settings(max_examples=30)
def test_a_selection_is_planned_from_the_manifest_alone(shards: list[list[int]], seed: int) -> None:
    plan = plan_of(manifest_of(shards), Selection("split == 'b'"), seed)
    assert plan.num_samples == sum(n // 2 for groups in shards for n in groups)
    assert len(set(stream(plan, 0, plan.num_samples))) == plan.num_samples


@pytest.mark.slow
@given(
    st.lists(st.lists(st.integers(8, 64), min_size=8, max_size=24), min_size=4, max_size=8),
    st.integers(0, 9),
    st.integers(2, 64),
    st.integers(0, 60),
)
@settings(max_examples=12)
def test_windows_cover_all_steps_and_fetch_a_row_group_hardly_ever_twice(
    shards: list[list[int]], seed: int, batch_size: int, start: int
) -> None:
    spec = StreamSpec(Dataset(Location.of("/nowhere"), manifest_of(shards)), batch_size, seed)
    plan = spec.plan
    assume(plan.num_samples > 20 * batch_size)
    stop = start + 3 * plan.num_samples // batch_size
    windows = spec.windows(start, stop)
    assert (windows[0][0], windows[-1][1]) == (start, stop)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(windows))
    assert all(first < last for first, last in windows)
    fetched = [plan.row_groups(first * batch_size, last * batch_size) for first, last in windows]
    epochs = (stop - start) * batch_size / plan.num_samples
    at_the_ends = 3 * 5  # which lie within pools, of up to five row groups
    assert sum(map(len, fetched)) <= 1.1 * epochs * sum(map(len, shards)) + at_the_ends
    longest = max(last - first for first, last in windows) * batch_size
    assert longest <= 16 * (plan.num_samples / plan.num_pools + batch_size) + 128


def test_a_window_forgets_row_groups_that_it_is_done_with(tmp_path: Path) -> None:
    dataset = write_dataset(Location.of(tmp_path), pair_rows(60), 5)
    spec = StreamSpec(dataset, 4, seed=1, size=16, pool_row_groups=2)
    reader = RowGroupReader(spec)
    held = [reader.num_held for _ in read_window(spec, 0, 15, 4, SampleFetcher(spec, reader))]
    assert max(held) <= 4  # of twelve: a pool and the next one's first samples
    assert reader.num_held == 0


def test_epochs_and_seeds_differ() -> None:
    manifest = manifest_of([[64] * 20])
    one = plan_of(manifest, seed=1)
    n = one.num_samples
    first, second = stream(one, 0, n), stream(one, n, 2 * n)
    assert [ref[1:] for ref in first] != [ref[1:] for ref in second]
    assert first != stream(plan_of(manifest, seed=2), 0, n)
    assert first == stream(plan_of(manifest, seed=1), 0, n)


def test_the_order_of_an_epoch_is_pinned() -> None:
    """Resuming a run with a newer release must go on with the same order: a change here is a breaking one."""
    plan = plan_of(manifest_of([[3, 3, 2], [3, 1]]), seed=7, pool=2)
    assert [ref[1:] for ref in stream(plan, 12, 20)] == [
        (0, 0, 1),
        (0, 0, 2),
        (0, 0, 0),
        (1, 0, 0),
        (1, 0, 2),
        (1, 0, 1),
        (0, 2, 1),
        (0, 1, 2),
    ]


def test_rare_row_groups_do_not_always_stand_at_the_end() -> None:
    shards = [[8] * 30 + [3]]
    places = []
    for epoch in range(40):
        plan = plan_of(manifest_of(shards), seed=3)
        n = plan.num_samples
        epoch_stream = stream(plan, epoch * n, (epoch + 1) * n)
        places.append(next(i for i, ref in enumerate(epoch_stream) if ref[2] == 30) / n)
    assert min(places) < 0.25
    assert max(places) > 0.75


def test_nothing_selected_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"picks nothing.*; it has .*split a"):
        plan_of(manifest_of([[4]]), Selection("split == 'c'"))


@pytest.mark.slow
def test_a_window_costs_the_same_in_a_hundred_million_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    # One RowGroup object many times over: the plan must not care, and the test must not take gigabytes.
    group = RowGroup(64, 64, 0, {0: (64, 64)})
    tail = RowGroup(17, 17, 0, {0: (17, 17)})
    strata = (Stratum(Domain.REAL, "S", None, ("a",)),)
    shards = tuple(Shard(f"{i}", 0, "0" * 64, (group,) * 399 + (tail,)) for i in range(4000))
    plan = plan_of(Manifest(RowKind.PAIR, Container.PARQUET, Domain.REAL, strata, shards))
    assert plan.num_samples > 100_000_000
    position = 12_345 * plan.num_samples + 67_890_123
    permuted: list[int] = []
    pools: list[int] = []
    order = type(plan._epoch(0))
    samples_before = order.samples_before

    class CountedPermutation(Permutation):
        def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
            permuted.append(len(indices))
            return super().__call__(indices)

    def counted_samples_before(self: Any, pool: int) -> int:
        pools.append(pool)
        return samples_before(self, pool)

    monkeypatch.setattr("pipelines.ingest.epoch_plan.Permutation", CountedPermutation)
    monkeypatch.setattr(order, "samples_before", counted_samples_before)
    tracemalloc.start()
    references = next(plan.runs(position, position + 256)).references
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(np.unique(references, axis=0)) == 256
    assert peak_bytes < 1_000_000
    assert 4 <= sum(permuted) <= 12  # row groups of some pools, out of 1.6 million
    assert len(pools) < 50  # a bisection of 400,000 pools
