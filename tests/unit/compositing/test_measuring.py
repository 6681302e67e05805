"""What the first pass over a folder of photographs keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from charmnet.drawn_recoloring import color_palette
from charmnet.recoloring import ColorStatistics
from pipelines.compositing.foregrounds import Folders, Foreground, MeasuredForeground
from pipelines.compositing.measuring import MeasuredColors, Request
from pipelines.compositing.photographs import rows_in_shards
from pipelines.runtime.randomness import hash_order
from pipelines.runtime.storage import MAX_JSON_BYTES, Location
from pipelines.shards.rejection import Rejection


def measured(photograph: str, mask: int, split: str) -> MeasuredForeground:
    rng = np.random.default_rng(mask)
    colors = rng.integers(0, 256, (40, 3), dtype=np.uint8)
    foreground = Foreground(
        f"{photograph}_{mask}", f"{photograph}.jpg", f"{photograph}_{mask}.png", photograph, None, split
    )
    return MeasuredForeground(foreground, ColorStatistics.of(colors / 255.0), color_palette(colors))


def test_colours_of_more_foregrounds_than_a_usual_json_file_holds_are_read_back(tmp_path: Path) -> None:
    file = Location.of(tmp_path / "colors.json")
    rejected = [Rejection("a_1", "a_1.png", "x" * MAX_JSON_BYTES)]
    MeasuredColors([measured("a", 1, "train")], rejected, ["a warning"]).write(file)
    assert file.size_bytes() > MAX_JSON_BYTES
    read = MeasuredColors.read(file)
    assert (read.rejected, read.warnings) == (rejected, ["a warning"])
    (entry,) = read.measured
    assert entry.foreground == measured("a", 1, "train").foreground
    assert np.array_equal(entry.palette, measured("a", 1, "train").palette)


def test_photographs_without_a_region_count_as_no_masks(tmp_path: Path) -> None:
    folder = Location.of(tmp_path)
    rejected = [Rejection("a", "a.jpg", "no region found", items=0), Rejection("b", "b.jpg", "broken")]
    request = Request(
        Folders(folder, folder), [measured("c", 1, "train").foreground], rejected, 1, 0, "S", 512
    )
    assert (request.items, request.lost) == (2, 1)


def test_shards_hold_whole_rows_of_one_split() -> None:
    entries = [
        measured(f"p{number}", mask, "test" if number % 3 == 0 else "train")
        for number in range(9)
        for mask in (1, 2)
    ]
    by_photograph = list(rows_in_shards(entries, 4, lambda entry: entry.foreground.photograph))
    assert sorted(index for rows in by_photograph for row in rows for index in row) == list(range(18))
    for rows in by_photograph:
        assert all(len({entries[index].foreground.photograph for index in row}) == 1 for row in rows)
        assert len({entries[index].foreground.split for row in rows for index in row}) == 1
        assert sum(map(len, rows)) in (2, 4)
    test = [entry.foreground.name for entry in entries if entry.foreground.split == "test"]
    train = [entry.foreground.name for entry in entries if entry.foreground.split == "train"]
    single = [
        [entries[index].foreground.name for (index,) in rows]
        for rows in rows_in_shards(entries, 5, lambda entry: entry.foreground.name)
    ]
    assert list(map(len, single)) == [5, 5, 2, 5, 1]
    order = [names[index] for names in (train, test) for index in hash_order(names)]
    assert [name for names in single for name in names] == order
