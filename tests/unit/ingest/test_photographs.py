"""Streams of photographs, whose composites are drawn anew in each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charmnet.augment import MaskEdges
from charmnet.vocabulary import Domain
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.union import DatasetUnion
from pipelines.ingest.window import read_window
from pipelines.runtime.blocks import Block
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import Selection
from tests.synthetic_datasets import (
    colors_of_rows,
    pair_rows,
    photograph_rows,
    write_dataset,
    write_photographs,
)

ROWS = photograph_rows(16)
IDS = [sample_id for row in ROWS for sample_id in row["foreground_ids"]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_photographs(Location.of(tmp_path_factory.mktemp("photographs")), ROWS, rows_per_shard=5)


def read(spec: StreamSpec, start: int, stop: int, block_rows: int | None = None) -> dict[str, Block]:
    """Return samples by position in the stream, from blocks of any size."""
    samples = {}
    for block in read_window(spec, start, stop, block_rows or spec.batch_size):
        for number in range(len(block["id"])):
            position = int(block["step"][number]) * spec.batch_size + int(block["index"][number])
            samples[f"{position}"] = {name: values[number] for name, values in block.items()}
    return samples


def assert_equal(first: dict[str, Block], second: dict[str, Block]) -> None:
    assert first.keys() == second.keys()
    for position, sample in first.items():
        for name in sample.keys() - {"lane"}:
            np.testing.assert_array_equal(sample[name], second[position][name], err_msg=f"{position} {name}")


def test_an_epoch_has_every_mask_once_and_each_epoch_another_composite(dataset: Dataset) -> None:
    spec = StreamSpec(dataset, batch_size=8, size=48, augmentation="none")
    assert (dataset.manifest.rows, dataset.manifest.samples) == (16, 24)
    epochs = [read(spec, 3 * epoch, 3 * epoch + 3) for epoch in range(3)]
    composites: dict[str, list[np.ndarray]] = {}
    for number, epoch in enumerate(epochs):
        assert sorted(str(sample["id"]) for sample in epoch.values()) == sorted(IDS)
        for sample in epoch.values():
            assert (sample["epoch"], sample["quarantined"]) == (number, "")
            changed = (sample["composite"] != sample["ground_truth"]).any(axis=2)
            assert changed[sample["foreground_mask"] == 1].mean() > 0.9
            composites.setdefault(str(sample["id"]), []).append(sample["composite"])
    for versions in composites.values():
        assert not np.array_equal(versions[0], versions[1])
        assert not np.array_equal(versions[1], versions[2])


@pytest.mark.parametrize("jitter", [0.0, 0.6])
def test_samples_are_the_same_for_any_lanes_and_wherever_a_window_begins(
    dataset: Dataset, jitter: float
) -> None:
    spec = StreamSpec(dataset, batch_size=6, seed=5, size=48, color_jitter=jitter)
    whole = read(spec, 0, 8)
    assert_equal(whole, {**read(spec, 0, 3, block_rows=2), **read(spec, 3, 8, block_rows=3)})
    other = read(replace(spec, seed=6), 0, 8)
    assert any(not np.array_equal(whole[key]["composite"], other[key]["composite"]) for key in whole)


@pytest.mark.parametrize("mask_edges", ["hard", "soft"])
@pytest.mark.parametrize("decoding", ["exact", "fast"])
def test_background_is_the_ground_truth_with_every_option(
    dataset: Dataset, mask_edges: MaskEdges, decoding: str
) -> None:
    spec = StreamSpec(
        dataset, batch_size=8, size=20, decoding=decoding, mask_edges=mask_edges, color_jitter=0.5
    )
    for sample in read(spec, 0, 3).values():
        assert sample["foreground_mask"].max() == (255 if mask_edges == "soft" else 1)
        if mask_edges == "soft":
            outside = sample["foreground_mask"] == 0
            assert np.array_equal(sample["composite"][outside], sample["ground_truth"][outside])
        assert not np.array_equal(sample["composite"], sample["ground_truth"])


def test_jitter_changes_ground_truth_and_composite_alike_also_of_pairs(
    dataset: Dataset, tmp_path: Path
) -> None:
    pairs = write_dataset(Location.of(tmp_path), pair_rows(8, size=(48, 64)), 8)
    for data in (dataset, pairs):
        plain = StreamSpec(data, batch_size=8, size=48)
        jittered = read(replace(plain, color_jitter=0.5), 0, 2)
        for position, sample in read(plain, 0, 2).items():
            other = jittered[position]
            assert np.array_equal(sample["foreground_mask"], other["foreground_mask"])
            assert not np.array_equal(sample["ground_truth"], other["ground_truth"])
            # One map for both: where two pixels were equal they still are.
            same = (sample["composite"] == sample["ground_truth"]).all(axis=2)
            assert np.array_equal(other["composite"][same], other["ground_truth"][same])


def lent_to(spec: StreamSpec, offsets: Sequence[tuple[int, int, int]]) -> dict[str, set[tuple[float, ...]]]:
    """Mean colours of the references that a foreground is ever given, by its sample's id."""
    lent: dict[str, set[tuple[float, ...]]] = {}
    (colors,) = spec.colors
    for shard, group, offset in offsets:
        samples = spec.union.read_row_group(shard, group, spec.selection, colors=(colors,))
        for epoch in range(12):
            sample = samples.sample(offset, epoch, spec.decode_options)
            lent.setdefault(sample.id, set()).update(map(tuple, sample.recoloring.colors.mean[1:].tolist()))
    return lent


def test_no_colours_of_the_test_split_or_of_the_photograph_itself_are_lent(dataset: Dataset) -> None:
    """Trees and cars alternate, every fifth photograph is of the test split."""
    measured = colors_of_rows(ROWS)
    about = {
        tuple(mean): (photograph, stratum)
        for mean, photograph, stratum in zip(
            measured.table.mean.tolist(), measured.photographs, measured.strata, strict=True
        )
    }
    strata = dict(zip(measured.ids, measured.strata, strict=True))
    spec = StreamSpec(dataset, batch_size=8)
    references = next(iter(spec.plan.runs(0, 24))).references.tolist()
    for sample_id, means in lent_to(spec, references).items():
        own = strata[sample_id]
        photographs = {about[mean][0] for mean in means}
        assert sample_id.rpartition("_")[0] not in photographs
        assert {about[mean][1].category for mean in means} == {own.category}
        splits = {about[mean][1].splits for mean in means}
        assert splits <= {("train",), own.splits}
        assert len(means) > 3


def test_a_limit_leaves_only_the_colours_of_its_samples(dataset: Dataset) -> None:
    spec = StreamSpec(dataset, batch_size=4, limit=10, selection=Selection("split == 'train'"))
    measured = colors_of_rows(ROWS)
    run = next(iter(spec.plan.runs(0, 10)))
    lent = lent_to(spec, run.references.tolist())
    mean_of = dict(zip(measured.ids, map(tuple, measured.table.mean.tolist()), strict=True))
    category = dict(zip(measured.ids, (stratum.category for stratum in measured.strata), strict=True))
    for sample_id, means in lent.items():
        photograph = sample_id.rpartition("_")[0]
        allowed = {
            mean_of[other]
            for other in lent
            if category[other] == category[sample_id] and other.rpartition("_")[0] != photograph
        }
        assert means == allowed
        assert allowed


def test_members_of_a_union_draw_their_own_composites(dataset: Dataset, tmp_path: Path) -> None:
    other = write_photographs(Location.of(tmp_path), photograph_rows(6, seed=1), rows_per_shard=6)
    pairs = write_dataset(Location.of(tmp_path / "pairs"), pair_rows(4, size=(48, 64)), 4)
    spec = StreamSpec(DatasetUnion((dataset, other, pairs), Domain.REAL), batch_size=37, size=48)
    samples = read(spec, 0, 1)
    ids = {str(sample["id"]) for sample in samples.values()}
    assert len(ids) == 37
    assert {name.partition(":")[0] for name in ids} == {"1", "2", "3"}


def test_a_broken_photograph_is_replaced_and_named(tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    rows[3]["photograph"] = rows[3]["photograph"][:200]
    dataset = write_photographs(Location.of(tmp_path), [*ROWS[:3], *ROWS[4:]], 16)
    spec = StreamSpec(dataset, batch_size=8, size=48)
    assert all(not sample["quarantined"] for sample in read(spec, 0, 3).values())
    colors = write_photographs(Location.of(tmp_path / "whole"), ROWS, 16).manifest.colors
    broken = write_dataset(Location.of(tmp_path / "whole"), rows, 16)
    replace(broken.manifest, colors=colors).save(broken.location)
    samples = read(replace(spec, dataset=Dataset.open(broken.location)), 0, 3)
    replaced = [sample["quarantined"] for sample in samples.values() if sample["quarantined"]]
    assert {name for text in replaced for name in IDS if f'"{name}"' in text} == {"P/p03_1", "P/p03_2"}
    assert len(samples) == 24


def test_a_damaged_file_of_colours_ends_the_stream_with_its_name(tmp_path: Path) -> None:
    dataset = write_photographs(Location.of(tmp_path), ROWS, 16)
    (tmp_path / "colors.parquet").write_bytes(b"PAR1 something else")
    with pytest.raises(Exception, match=r"colors\.parquet: 19 bytes with another checksum"):
        read(StreamSpec(dataset, batch_size=8, size=48, timeout_seconds=1), 0, 1)


def test_jitter_is_drawn_anew_by_seed_and_epoch(tmp_path: Path) -> None:
    pairs = write_dataset(Location.of(tmp_path), pair_rows(8, size=(48, 64)), 8)
    spec = StreamSpec(pairs, batch_size=8, size=48, color_jitter=0.5, augmentation="none")
    variants = ((spec, 0), (spec, 1), (replace(spec, seed=1), 0))
    first, *others = (
        {str(sample["id"]): sample["ground_truth"] for sample in read(variant, step, step + 1).values()}
        for variant, step in variants
    )
    for name, picture in first.items():
        assert all(not np.array_equal(picture, other[name]) for other in others)
