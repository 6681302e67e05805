import contextlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.codecs import decode_mask, encode_jpeg, encode_png
from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.conversion.webdataset import ArchiveRow, index_archive, rows_of_archive
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.shards.rejection import Rejection
from pipelines.shards.stratum import Stratum
from pipelines.shards.tar import HashingReader, sample_row, tar_samples
from tests.factories import foreground, photograph

DEFAULTS = Stratum(Domain.REAL, "photographs", None, ("train",))
RNG = np.random.default_rng(0)
IMAGE = encode_jpeg(photograph(RNG))
MASK = encode_png(foreground(RNG) * np.uint8(255))


def member(name: str, data: bytes, **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def sample(name: str, fields: dict | None = None) -> list[tuple[tarfile.TarInfo, bytes]]:
    files = {"composite.jpg": IMAGE, "mask.png": MASK, "ground_truth.jpg": IMAGE}
    if fields is not None:
        files["json"] = json.dumps(fields).encode()
    return [member(f"{name}.{part}", data) for part, data in files.items()]


def archive(*members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read_archive(data: bytes) -> tuple[list[str], list[Rejection]]:
    results = list(rows_of_archive(HashingReader(io.BytesIO(data)), "a.tar", DEFAULTS))
    rows = [item.row["id"] for item in results if isinstance(item, ArchiveRow)]
    return rows, [item for item in results if isinstance(item, Rejection)]


def test_json_overrides_the_defaults() -> None:
    fields = {"subset": "HFlickr", "category": "car", "splits": ["test"], "note": "ignored"}
    data = archive(*sample("x/0001", fields), *sample("x/0002"))
    rows = [item.row for item in rows_of_archive(HashingReader(io.BytesIO(data)), "d/a.tar", DEFAULTS)]
    assert [row["id"] for row in rows] == ["d/a/x/0001", "d/a/x/0002"]
    assert (rows[0]["subset"], rows[0]["category"], rows[0]["splits"]) == ("HFlickr", "car", ["test"])
    assert (rows[1]["subset"], rows[1]["category"], rows[1]["splits"]) == ("photographs", None, ["train"])
    assert rows[0]["composite"] == IMAGE
    assert np.array_equal(decode_mask(rows[0]["foreground_mask"]), decode_mask(MASK))


def test_files_added_by_macos_are_skipped() -> None:
    files = [(member(f"x/._{info.name}", b"attributes"), (info, data)) for info, data in sample("b")]
    data = archive(*(file for pair in files for file in pair), *sample("c"))
    assert read_archive(data) == (["a/b", "a/c"], [])


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_with_folders_is_read(kind: int) -> None:
    folder = member("images/", b"", type=tarfile.DIRTYPE)
    long = "n" * 60 + "/" + "m" * 70
    data = archive(folder, *sample("images/1"), folder, *sample(long), kind=kind)
    assert read_archive(data) == (["a/images/1", f"a/{long}"], [])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (sample("../b"), "leaves the archive"),
        (sample("/abs/b"), "leaves the archive"),
        ([member("b.composite.jpg", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "link"),
        ([member("b.composite.jpg", b"", type=tarfile.LNKTYPE, linkname="a.composite.jpg")], "link"),
        ([member("b.composite.jpg", b"", type=tarfile.FIFOTYPE)], "link"),
        (sample("b")[:2], "ground_truth: missing"),
        ([*sample("b"), member("b.composite.png", IMAGE)], "second composite"),
        (sample("b", {"splits": "train"}), "json: splits"),
        (sample("b", {"domain": "rendered"}), "json: domain"),
        (sample("b", {"ground_truth_style": 3}), "real domain"),
        ([*sample("b"), member("b.json", b"[1]")], "json: expected an object"),
        ([*sample("b"), member("b.json", b"{" + b'"a":{' * 9)], "json:"),
        ([member("b.composite.jpg", IMAGE[:-300]), *sample("b")[1:]], "composite:"),
        ([*sample("b")[:2], member("b.ground_truth.jpg", bytes(33 << 20))], "shrink it"),
        (sample("a"), "second"),
    ],
)
def test_a_bad_sample_is_rejected_and_the_others_are_read(bad: list, reason: str) -> None:
    rows, rejected = read_archive(archive(*sample("a"), *sample("c"), *bad, *sample("d")))
    assert rows == ["a/a", "a/c", "a/d"]
    assert [reason in rejection.reason for rejection in rejected] == [True], rejected


def test_a_name_repeated_later_is_a_duplicate() -> None:
    rows, rejected = read_archive(archive(*sample("a"), *sample("b"), *sample("a")))
    assert rows == ["a/a", "a/b"]
    assert "duplicate id" in rejected[0].reason


def test_files_of_a_sample_that_do_not_stand_together_are_the_reason_named(tmp_path: Path) -> None:
    scattered = [file for pair in zip(sample("a"), sample("b"), strict=True) for file in pair]
    (tmp_path / "x.tar").write_bytes(archive(*scattered, *sample("c"), *sample("d"), *sample("c")))
    written = index_archive(Location.of(tmp_path), "x.tar", DEFAULTS)
    reasons = [(rejection.file, rejection.reason.partition(";")[0]) for rejection in written.rejected]
    apart = "its files do not stand next to each other in the archive"
    repeated = "duplicate id: a second sample of that name in the archive"
    assert reasons == [("x.tar:a", apart), ("x.tar:b", apart), ("x.tar:c", repeated)]


def test_a_truncated_archive_counts_one_rejection_for_each_sample_read() -> None:
    whole = archive(*sample("a"), *sample("b"), *sample("c"))
    rows, rejected = read_archive(whole[: whole.index(b"c.ground_truth.jpg") + 700])
    assert rows == ["a/a", "a/b"]
    assert [(rejection.file, rejection.items) for rejection in rejected] == [("a.tar", 2)]
    for data in (b"not a tar" * 200, b"\x1f\x8b" + bytes(600), b""):
        rows, rejected = read_archive(data)
        assert (rows, len(rejected)) == ([], 1)


def test_a_header_that_asks_for_too_much_is_not_followed() -> None:
    info = tarfile.TarInfo("x" * 300)
    buffer = bytearray(archive((info, b""), kind=tarfile.PAX_FORMAT))
    buffer[124:136] = b"77777777777\0"  # the pax header's own size: 8 GiB
    checksum = sum(buffer[:148]) + 8 * 32 + sum(buffer[156:512])
    buffer[148:156] = f"{checksum:06o}\0 ".encode()
    with pytest.raises(DataError, match="asks for"):
        list(tar_samples(HashingReader(io.BytesIO(bytes(buffer)))))


def test_a_negative_size_does_not_loop() -> None:
    buffer = bytearray(archive(member("a.composite.jpg", b"x" * 600)))
    buffer[124:136] = b"\xff" * 10 + b"\xfc\x00"  # base-256: -1024
    checksum = sum(buffer[:148]) + 8 * 32 + sum(buffer[156:512])
    buffer[148:156] = f"{checksum:06o}\0 ".encode()
    with pytest.raises(DataError):
        list(tar_samples(HashingReader(io.BytesIO(bytes(buffer)))))


@settings(deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_noise_is_a_data_error_and_nothing_else(noise: bytes, at: int) -> None:
    whole = archive(*(member(f"{n}.json", b"{}") for n in range(3)))
    for data in (noise, whole[:at] + noise + whole[at + len(noise) :]):
        with contextlib.suppress(DataError):
            list(tar_samples(HashingReader(io.BytesIO(data))))


def test_in_place_ranges_read_back_what_was_indexed(tmp_path: Path) -> None:
    members = [sample(f"{n:03d}", {"category": "car" if n % 2 else None}) for n in range(150)]
    members[70] = members[70][:2]  # unfit: no ground truth
    data = archive(*(m for group in members for m in group))
    (tmp_path / "a.tar").write_bytes(data)
    folder = Location.of(tmp_path)
    written = index_archive(folder, "a.tar", DEFAULTS)
    assert [r.id for r in written.rejected] == ["a/070"]
    Manifest.merged([written.manifest], {}).save(folder)
    dataset = Dataset.open(folder)
    groups = dataset.manifest.shards[0].row_groups
    assert [group.rows for group in groups] == [64, 6, 64, 15]
    ids, categories = [], []
    for shard, index, _ in dataset.manifest.groups():
        table = dataset.read_row_group(shard, index)
        ids += table["id"].to_pylist()
        categories += table["category"].to_pylist()
    assert ids == [f"a/{n:03d}" for n in range(150) if n != 70]
    assert categories.count("car") == dataset.manifest.totals()["category"]["car"]
    assert dataset.read_row_group(0, 1, ["id"]).column_names == ["id"]
    assert dataset.manifest.shards[0].bytes == len(data)

    (tmp_path / "a.tar").write_bytes(data[:512] + data[1024:])
    with pytest.raises(DataError, match=r"a\.tar.*(changed|row group)"):
        dataset.read_row_group(0, 2)


def test_a_rendered_sample_needs_its_styles() -> None:
    rendered = Stratum(Domain.RENDERED, "S", None, ())
    style = {"composite_style": [1, *[0] * 9], "ground_truth_style": 4}
    good, bad = tar_samples(HashingReader(io.BytesIO(archive(*sample("a", style), *sample("b")))))
    assert sample_row(good, "t.tar", rendered)["ground_truth_style"] == 4
    with pytest.raises(DataError, match="rendered domain needs both"):
        sample_row(bad, "t.tar", rendered)
