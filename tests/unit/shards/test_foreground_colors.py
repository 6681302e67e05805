"""The file of foregrounds' colours, and what holds for photographs as for other rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_mask
from charmnet.drawn_recoloring import DRAWN_PALETTE_COLORS, ColorTable, Recoloring
from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.runtime.randomness import seeded_rng
from pipelines.runtime.storage import Location
from pipelines.shards.contact_sheet import contact_sheet, sample_rows
from pipelines.shards.foreground_colors import ForegroundColors, colors_of, parse, read_colors
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.rows import (
    PictureError,
    bytes_of,
    check_pictures,
    photograph_row,
    pictures_of,
    samples_of,
    shrink,
)
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import EVERYTHING, Selection
from pipelines.shards.stratum import Stratum
from pipelines.shards.verify import checks_of, duplicate_ids, run_check
from tests.synthetic_datasets import colors_of_rows, photograph_rows, write_dataset, write_photographs

ROWS = photograph_rows(10)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_photographs(Location.of(tmp_path), ROWS, rows_per_shard=4, per_mask=3)


def failures_of(dataset: Dataset) -> list[str]:
    return [failure.reason for check in checks_of(dataset) for failure in run_check(dataset, check)]


def test_colours_are_read_as_they_were_written(dataset: Dataset) -> None:
    written, read = colors_of_rows(ROWS), read_colors(dataset)
    assert (read.ids, read.photographs, read.strata) == (written.ids, written.photographs, written.strata)
    for name, values in vars(written.table).items():
        np.testing.assert_array_equal(getattr(read.table, name), values, err_msg=name)
    assert colors_of(dataset) is colors_of(Dataset.open(dataset.location))
    assert dataset.manifest.colors is not None
    assert dataset.manifest.colors.per_mask == 3


def test_the_manifest_counts_masks_as_samples_and_its_digest_covers_the_colours(dataset: Dataset) -> None:
    manifest = dataset.manifest
    assert (manifest.kind, manifest.rows, manifest.samples) == (RowKind.PHOTOGRAPH, 10, 15)
    trees = Selection("category == 'tree' and split == 'train'")
    counts = [selected_counts(manifest, group, trees) for _, _, group in manifest.groups()]
    assert [sum(column) for column in zip(*counts, strict=True)] == [4, 8]
    assert manifest.colors is not None
    other = replace(manifest, colors=replace(manifest.colors, sha256="1" * 64))
    assert other.digest != manifest.digest
    assert Manifest.from_json(manifest.to_json()) == manifest
    older = {key: value for key, value in manifest.to_json().items() if key != "colors"}
    assert Manifest.from_json(older).colors is None
    for wrong in ({"path": "../x"}, {"bytes": -1}, {"per_mask": "3"}):
        value = manifest.to_json()
        value["colors"] = {**value["colors"], **wrong}
        with pytest.raises(DataError, match="not a manifest"):
            Manifest.from_json(value)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("pqrs"), st.sampled_from(["car", None]), st.sampled_from(["train", "test"])
        ),
        min_size=2,
        max_size=14,
    ),
    st.none() | st.sets(st.integers(0, 13), min_size=1),
)
def test_references_are_drawn_from_all_that_may_lend_to_a_foreground(
    foregrounds: list[tuple[str, str | None, str]], lenders: set[int] | None
) -> None:
    count = len(foregrounds)
    numbers = np.arange(count)
    table = ColorTable(
        *(np.zeros((count, 3)), np.zeros((count, 3)), np.repeat(numbers[:, None], 3, axis=1).astype(float)),
        *(np.zeros((count, 3, 3)), np.zeros((count, DRAWN_PALETTE_COLORS, 3), np.uint8)),
    )
    strata = [Stratum(Domain.REAL, "S", category, (split,)) for _, category, split in foregrounds]
    colors = ForegroundColors(
        list(map(str, range(count))), [photograph for photograph, _, _ in foregrounds], strata, table
    )
    if lenders is not None:
        colors = colors.lent_by(np.array(sorted(number for number in lenders if number < count), np.int64))
    for own, (photograph, category, split) in enumerate(foregrounds):
        others = [
            number
            for number, (of, kind, lent_by) in enumerate(foregrounds)
            if of != photograph and kind == category and lent_by in (split, "train")
        ]
        lent = [number for number in others if lenders is None or number in lenders] or others
        if not lent:
            with pytest.raises(DataError, match="no reference"):
                colors.recoloring(str(own), "key")
            continue
        expected = Recoloring.draw(seeded_rng("key"), table, own, np.array(lent))
        drawn = colors.recoloring(str(own), "key")
        np.testing.assert_array_equal(drawn.colors.mean, expected.colors.mean)
        for name in ("methods", "shares", "seeds"):
            np.testing.assert_array_equal(getattr(drawn, name), getattr(expected, name))


def test_a_data_set_without_colours_says_so(tmp_path: Path) -> None:
    dataset = write_dataset(Location.of(tmp_path), ROWS, 10)
    with pytest.raises(DataError, match=r"the manifest names no colors\.parquet"):
        colors_of(dataset)
    assert any("names no colors.parquet" in reason for reason in failures_of(dataset))


def test_what_is_no_file_of_colours_is_refused(dataset: Dataset) -> None:
    data = (dataset.location / "colors.parquet").read_bytes()
    assert len(parse(data, "x").ids) == 15
    shard = (dataset.location / dataset.manifest.shards[0].path).read_bytes()
    for damaged in (b"", b"PAR1", data[:-9], data[: len(data) // 2], shard):
        with pytest.raises(DataError, match=r"^x: "):
            parse(damaged, "x")


def test_verification_finds_damage_of_the_colours_and_masks_without_any(dataset: Dataset) -> None:
    assert failures_of(dataset) == []
    assert duplicate_ids(dataset) == []
    file = dataset.location / "colors.parquet"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"x")
    (reason,) = failures_of(dataset)
    assert "another checksum than the manifest says" in reason
    fewer = colors_of_rows(ROWS[:-1]).write(dataset.location, 3)
    assert failures_of(Dataset(dataset.location, replace(dataset.manifest, colors=fewer))) == [
        "no colours of this sample",
        "no colours of this sample",
    ]


def test_verification_finds_masks_of_one_id(tmp_path: Path) -> None:
    row = {**ROWS[1], "foreground_ids": [ROWS[1]["foreground_ids"][0], ROWS[0]["foreground_ids"][0]]}
    dataset = write_dataset(Location.of(tmp_path), [ROWS[0], row], 1)
    (failure,) = duplicate_ids(dataset)
    assert failure.id == ROWS[0]["foreground_ids"][0]
    assert failure.reason == "duplicate id: 2 masks have it, in part-00000.parquet, part-00001.parquet"


def test_verification_finds_a_mask_that_is_not_the_rows(tmp_path: Path) -> None:
    row = {**ROWS[1], "foreground_ratios": [ROWS[1]["foreground_ratios"][0], 0.9]}
    dataset = write_photographs(Location.of(tmp_path), [ROWS[0], row], 2)
    (reason,) = failures_of(dataset)
    assert reason.startswith("foreground_ratio is 0.89")


def test_rows_are_checked_and_measured() -> None:
    row = ROWS[1]
    assert samples_of(row) == 2
    assert list(pictures_of(row)) == ["photograph", "foreground_masks[0]", "foreground_masks[1]"]
    assert bytes_of(row) > len(row["photograph"]) + sum(map(len, row["foreground_masks"]))
    check_pictures(row)
    stratum = Stratum(Domain.REAL, "P", None, ())
    small, mask = encode_jpeg(np.zeros((8, 8, 3), np.uint8)), np.ones((8, 8), np.uint8)
    for masks, message in (
        ({"a": encode_mask(mask), "b": encode_mask(mask * np.uint8(0))}, r"foreground_masks\[1\]: empty"),
        ({"a": encode_mask(mask), "b": encode_mask(mask[:4])}, r"foreground_masks\[1\]: \(height, width\)"),
        ({"a": b"no picture"}, r"foreground_masks\[0\]"),
    ):
        with pytest.raises(PictureError, match=message):
            photograph_row("x", stratum, small, masks)
    broken = {**row, "photograph": row["photograph"][:300]}
    with pytest.raises(PictureError, match=r"^photograph: "):
        check_pictures(broken)


def test_a_row_is_shrunk_with_all_its_masks() -> None:
    smaller = shrink(ROWS[1], 32)
    assert decode_rgb(smaller["photograph"]).shape == (24, 32, 3)
    assert [decode_mask(mask).shape for mask in smaller["foreground_masks"]] == [(24, 32)] * 2
    assert smaller["foreground_ids"] == ROWS[1]["foreground_ids"]


def test_a_contact_sheet_shows_masks_beside_composites(dataset: Dataset) -> None:
    rows = sample_rows(dataset, EVERYTHING, 4)
    sheet = contact_sheet(rows)
    assert sheet.height > 4 * 180
    assert sheet.width >= 5 * 240  # photograph, and two masks each beside a composite
    assert sheet.tobytes() == contact_sheet(rows).tobytes()
