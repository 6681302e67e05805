import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.errors import DataError, StorageError
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.rows import Row, bytes_of, pair_row, scene_row
from pipelines.shards.schema import ROW_GROUP_BYTES, RowKind
from pipelines.shards.stratum import Stratum
from pipelines.shards.verify import checks_of, duplicate_ids, run_check
from pipelines.shards.writer import write_parquet
from tests.factories import foreground, photograph

RNG = np.random.default_rng(0)
IMAGE = encode_jpeg(photograph(RNG))
MASK = encode_png(foreground(RNG) * np.uint8(255))
PICTURES = {"composite": IMAGE, "ground_truth": IMAGE, "foreground_mask": MASK}


def pair(number: int, split: str = "train") -> Row:
    stratum = Stratum(Domain.REAL, "HCOCO", None, (split,))
    return pair_row(f"HCOCO/c{number}_1_1", stratum, PICTURES)


def scene(number: int, conditions: int = 10) -> Row:
    pictures = {**{f"images[{c}]": IMAGE for c in range(10)}, "foreground_mask": MASK}
    label = [0.75, 0.25, *[0.0] * 8]
    pairs = [
        {"foreground": (b + 1) % 10, "background": b, "composite_style": label} for b in range(conditions)
    ]
    stratum = Stratum(Domain.RENDERED, "SHuman", "human", ())
    return scene_row(f"SHuman/{number}", stratum, pictures, None if conditions == 10 else pairs)


def written_dataset(folder: Location, rows: list[Row | Rejection], kind: RowKind = RowKind.PAIR) -> Dataset:
    domain = Domain.REAL if kind is RowKind.PAIR else Domain.RENDERED
    part = write_parquet(folder, "part-00000.parquet", kind, domain, rows)
    Manifest.merged([part.manifest], {}).save(folder)
    return Dataset.open(folder)


def test_rows_come_back_in_groups_with_their_checksum(tmp_path: Path) -> None:
    rows = [pair(n, "train" if n < 100 else "test") for n in range(150)]
    dataset = written_dataset(Location.of(tmp_path), rows)
    shard = dataset.manifest.shards[0]
    data = (tmp_path / shard.path).read_bytes()
    assert (shard.bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert [group.rows for group in shard.row_groups] == [64, 64, 22]
    assert shard.row_groups[1].strata == {0: (36, 36), 1: (28, 28)}
    read = [row for index in range(3) for row in dataset.read_row_group(0, index).to_pylist()]
    assert [row["id"] for row in read] == [row["id"] for row in rows]
    assert read[0] == {**rows[0], "foreground_ratio": pytest.approx(rows[0]["foreground_ratio"])}
    assert all(run_check(dataset, check) == [] for check in checks_of(dataset))


def test_scenes_count_one_sample_for_each_ground_truth(tmp_path: Path) -> None:
    dataset = written_dataset(
        Location.of(tmp_path), [*(scene(n) for n in range(7)), scene(7, conditions=3)], RowKind.SCENE
    )
    groups = dataset.manifest.shards[0].row_groups
    assert [(group.rows, group.samples) for group in groups] == [(6, 60), (2, 13)]
    assert dataset.manifest.conditions == {c: 8 if c < 3 else 7 for c in range(10)}
    rows = dataset.read_row_group(0, 1).to_pylist()
    assert rows[0]["pairs"] is None
    assert [p["background"] for p in rows[1]["pairs"]] == [0, 1, 2]
    assert rows[1]["pairs"][0]["composite_style"] == [0.75, 0.25, *[0.0] * 8]


def test_a_row_group_is_bounded_in_bytes(tmp_path: Path) -> None:
    heavy = [{**pair(n), "composite": bytes(9 << 20)} for n in range(5)]
    dataset = written_dataset(Location.of(tmp_path), heavy)
    assert [group.rows for group in dataset.manifest.shards[0].row_groups] == [3, 2]
    file = pq.ParquetFile(tmp_path / "part-00000.parquet")
    sizes = [file.metadata.row_group(index).total_byte_size for index in range(2)]
    assert max(sizes) <= ROW_GROUP_BYTES
    assert bytes_of(heavy[0]) <= ROW_GROUP_BYTES


def test_rejections_are_kept_and_without_rows_no_file_is_written(tmp_path: Path) -> None:
    rejection = Rejection("x", "x.jpg", "broken")
    folder = Location.of(tmp_path)
    part = write_parquet(folder, "a.parquet", RowKind.PAIR, Domain.REAL, [rejection, pair(1), rejection])
    assert (part.manifest.rows, part.rejected) == (1, [rejection, rejection])
    part = write_parquet(folder, "b.parquet", RowKind.PAIR, Domain.REAL, [rejection])
    assert (part.manifest.shards, (tmp_path / "b.parquet").exists()) == ((), False)


def test_reading_and_verifying_detect_a_flipped_bit(tmp_path: Path) -> None:
    dataset = written_dataset(Location.of(tmp_path), [pair(n) for n in range(3)])
    path = tmp_path / "part-00000.parquet"
    data = bytearray(path.read_bytes())
    data[data.index(IMAGE) + len(IMAGE) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"part-00000\.parquet: row group 0"):
        dataset.read_row_group(0, 0)
    failures = [failure for check in checks_of(dataset) for failure in run_check(dataset, check)]
    assert [failure.row_group for failure in failures] == [None, 0]
    assert "sha256" in failures[0].reason


def test_a_broken_shard_is_named_with_a_remedy(tmp_path: Path) -> None:
    dataset = written_dataset(Location.of(tmp_path), [pair(n) for n in range(3)])
    path = tmp_path / "part-00000.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(DataError, match="inspect --verify"):
        dataset.read_row_group(0, 0)
    written_dataset(Location.of(tmp_path / "other"), [pair(n) for n in range(4)])
    path.write_bytes((tmp_path / "other/part-00000.parquet").read_bytes())
    with pytest.raises(DataError, match=r"4 rows .* says 3"):
        dataset.read_row_group(0, 0)
    path.unlink()
    with pytest.raises(StorageError, match="the shard is gone"):
        dataset.read_row_group(0, 0)
    assert "no such file" in run_check(dataset, checks_of(dataset)[0])[0].reason


def test_a_flipped_bit_in_the_footer_names_the_shard(tmp_path: Path) -> None:
    dataset = written_dataset(Location.of(tmp_path), [pair(n) for n in range(3)])
    path = tmp_path / "part-00000.parquet"
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for position in range(footer, len(data), 29):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        for read in (lambda: dataset.read_row_group(0, 0), lambda: dataset.read_columns(0, ["id", "height"])):
            with contextlib.suppress(DataError):  # no other error is allowed
                read().to_pylist()


def test_duplicate_ids_are_found(tmp_path: Path) -> None:
    dataset = written_dataset(Location.of(tmp_path), [pair(n % 65) for n in range(66)])
    failures = duplicate_ids(dataset)
    assert [(failure.id, failure.shard) for failure in failures] == [("HCOCO/c0_1_1", "part-00000.parquet")]


def test_verifying_finds_bad_rows_with_a_right_checksum(tmp_path: Path) -> None:
    wrong_height = {**pair(0), "height": 65}
    wrong_ratio = {**pair(1), "foreground_ratio": 0.9}
    cut = {**pair(2), "ground_truth": IMAGE[: len(IMAGE) // 2]}
    dataset = written_dataset(Location.of(tmp_path), [wrong_height, wrong_ratio, cut, pair(3)])
    checksum, rows = (run_check(dataset, check) for check in checks_of(dataset))
    assert checksum == []
    assert [failure.id for failure in rows] == ["HCOCO/c0_1_1", "HCOCO/c1_1_1", "HCOCO/c2_1_1"]
