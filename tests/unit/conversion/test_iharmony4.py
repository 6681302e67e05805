"""Entries from the lists and file names of iHarmony4; no picture is opened."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.codecs import decode_mask, encode_png
from charmnet.errors import DataError, StorageError
from charmnet.metrics import Protocol, scoring_mask
from pipelines.conversion.entries import LayoutEntry, entries_in_shards, read_entry
from pipelines.conversion.iharmony4 import IHarmony4
from pipelines.conversion.lists import (
    Categories,
    PathList,
    read_categories,
    read_list,
    read_lists,
    relative_path,
)
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import RowKind
from tests.factories import make_iharmony4, path_list

SOURCE = Location.of("s3://bucket/data")


def iharmony4(
    *lists: PathList, categories: Categories | None = None
) -> tuple[list[LayoutEntry], list[Rejection]]:
    return IHarmony4(SOURCE, lists, categories or Categories()).entries()


def test_file_names_give_mask_and_ground_truth() -> None:
    entries, rejected = iharmony4(path_list("train", "HAdobe5k/composite_images/a0002_1_4.jpg"))
    assert rejected == []
    assert entries[0].id == "HAdobe5k/a0002_1_4"
    assert entries[0].files == {
        "composite": "HAdobe5k/composite_images/a0002_1_4.jpg",
        "ground_truth": "HAdobe5k/real_images/a0002.jpg",
        "foreground_mask": "HAdobe5k/masks/a0002_1.png",
    }
    assert (entries[0].stratum.subset, entries[0].stratum.splits) == ("HAdobe5k", ("train",))


@pytest.mark.parametrize(
    ("line", "subset", "ground_truth"),
    [
        ("f12_1_1.jpg", "HFlickr", "real_images/f12.jpg"),
        ("d9_2_3.jpg", "Hday2night", "real_images/d9.jpg"),
        ("composite_images/c7_1_1.jpg", "HCOCO", "real_images/c7.jpg"),
        ("./HCOCO/composite_images/c7_1_1.jpg ", "HCOCO", "HCOCO/real_images/c7.jpg"),
        ("my_data_v2/HCOCO/composite_images/c7_1_1.jpg", "HCOCO", "my_data_v2/HCOCO/real_images/c7.jpg"),
        ("HFlickr/composite_images/f_a_12_1_1.jpg", "HFlickr", "HFlickr/real_images/f_a_12.jpg"),
    ],
)
def test_flat_and_nested_layouts(line: str, subset: str, ground_truth: str) -> None:
    entries, rejected = iharmony4(path_list("test", line))
    assert rejected == []
    assert entries[0].stratum.subset == subset
    assert entries[0].files["ground_truth"] == ground_truth


NUMBERS = st.lists(st.integers(1, 400), min_size=1, max_size=60)


@given(NUMBERS, st.floats(0.05, 0.9))
def test_validation_takes_whole_photographs_from_every_list_of_training(
    numbers: list[int], fraction: float
) -> None:
    paths = [f"HCOCO/composite_images/c{n}_{n % 3}_{k}.jpg" for n in numbers for k in (1, 2)]
    lists = (path_list("IHD_train", *paths), path_list("IHD_human_train", *paths[::2]))
    data = IHarmony4(SOURCE, (*lists, path_list("test", *paths[:1])), Categories(), fraction)
    whole = IHarmony4(SOURCE, lists, Categories(), fraction)
    of_photograph: dict[str, set[bool]] = {}
    for entry in data.entries()[0]:
        splits = set(entry.stratum.splits)
        moved = "IHD_validation" in splits
        of_photograph.setdefault(entry.files["ground_truth"], set()).add(moved)
        assert splits & {"IHD_train", "IHD_human_train"} == set() if moved else "IHD_train" in splits
        assert ("IHD_human_validation" in splits) == (moved and entry.files["composite"] in paths[::2])
        assert ("test" in splits) == (entry.files["composite"] == paths[0])
    assert all(len(moved) == 1 for moved in of_photograph.values())
    ids = {e.id for e in data.entries()[0] if "IHD_validation" in e.stratum.splits}
    assert ids == {e.id for e in whole.entries()[0] if "IHD_validation" in e.stratum.splits}


def test_validation_takes_about_its_share_and_leaves_the_request_of_old_alone() -> None:
    paths = [f"HCOCO/composite_images/c{n}_1_1.jpg" for n in range(2000)]
    data = IHarmony4(SOURCE, (path_list("IHD_train", *paths),), Categories(), 0.1)
    share = sum("IHD_validation" in entry.stratum.splits for entry in data.entries()[0]) / 2000
    assert share == pytest.approx(0.1, abs=0.02)
    without = IHarmony4(SOURCE, data.lists, Categories())
    assert data.identity() == {**without.identity(), "validation_fraction": 0.1}


def test_validation_needs_a_list_of_training_and_a_name_of_its_own() -> None:
    line = "HCOCO/composite_images/c1_1_1.jpg"
    with pytest.raises(ValueError, match="there is none among test"):
        IHarmony4(SOURCE, (path_list("test", line),), Categories(), 0.1)
    both = (path_list("IHD_train", line), path_list("IHD_validation", line))
    with pytest.raises(ValueError, match="makes the split IHD_validation, for which there is a list"):
        IHarmony4(SOURCE, both, Categories(), 0.1)
    assert IHarmony4(SOURCE, both, Categories()).entries()[0][0].stratum.splits == (
        "IHD_train",
        "IHD_validation",
    )


def test_a_picture_in_two_lists_is_one_row_with_both_splits() -> None:
    a, b = (f"HCOCO/composite_images/c{n}_1_1.jpg" for n in (1, 2))
    entries, rejected = iharmony4(path_list("IHD_train", a, b, a), path_list("IHD_human_train", b))
    assert rejected == []
    assert [(e.id, e.stratum.splits) for e in entries] == [
        ("HCOCO/c1_1_1", ("IHD_train",)),
        ("HCOCO/c2_1_1", ("IHD_train", "IHD_human_train")),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("HCOCO/composite_images/c1.jpg", "IMAGE_MASK_VARIANT"),
        ("HCOCO/pictures/c1_1_1.jpg", "composite_images"),
        ("x1_1_1.jpg", "subset"),
        ("../HCOCO/composite_images/c1_1_1.jpg", "beneath"),
        ("/etc/composite_images/c1_1_1.jpg", "beneath"),
        ("HCOCO/composite_images/c1_1_2.png", "duplicate id HCOCO/c1_1_2"),
    ],
)
def test_a_bad_line_is_rejected_with_its_reason(line: str, reason: str) -> None:
    good = "HCOCO/composite_images/c1_1_2.jpg"
    entries, rejected = iharmony4(path_list("train", good, line))
    assert [entry.files["composite"] for entry in entries] == [good]
    assert len(rejected) == 1
    assert reason in rejected[0].reason
    assert rejected[0].file in (line, f"composite_images/{line}")


def test_one_picture_is_one_row_however_it_is_spelled() -> None:
    entries, rejected = iharmony4(
        path_list("a", "c1_1_1.jpg", "composite_images/c1_1_1.jpg"),
        path_list("b", ".//composite_images//c1_1_1.jpg"),
    )
    assert rejected == []
    assert [(e.id, e.stratum.splits) for e in entries] == [("HCOCO/c1_1_1", ("a", "b"))]


@pytest.mark.parametrize(
    "line",
    [
        "HCOCO\\composite_images\\c1_1_1.jpg",
        ".\\HCOCO/composite_images\\c1_1_1.jpg ",
        "{source}/HCOCO/composite_images/c1_1_1.jpg",
        "{source}//HCOCO/composite_images/c1_1_1.jpg",
        "{link}/HCOCO/composite_images/c1_1_1.jpg",
        "file://{source}/HCOCO/composite_images/c1_1_1.jpg",
        '"HCOCO/composite_images/c1_1_1.jpg"',
        "'.\\\\HCOCO\\\\composite_images\\\\c1_1_1.jpg' ",
    ],
)
def test_paths_are_taken_as_people_write_them(line: str, tmp_path: Path) -> None:
    (tmp_path / "data/HCOCO/composite_images").mkdir(parents=True)
    (tmp_path / "link").symlink_to("data")
    source = Location.of(tmp_path / "data")
    written = line.format(source=source.local_path, link=tmp_path / "link")
    (tmp_path / "list.txt").write_text(f"{written}\r\n")
    (tmp_path / "categories.tsv").write_text(f"{written.strip()}\tanimal\n")
    categories = read_categories(str(tmp_path / "categories.tsv"), None, source)
    listed = read_list(str(tmp_path / "list.txt"), source)
    entries, rejected = IHarmony4(source, (listed,), categories).entries()
    assert rejected == []
    assert [entry.files["composite"] for entry in entries] == ["HCOCO/composite_images/c1_1_1.jpg"]
    assert entries[0].stratum.category == "animal"


@pytest.mark.parametrize(
    "line", ["C:\\data\\HCOCO\\composite_images\\c1_1_1.jpg", "..\\a", "s3://b/a", "/data"]
)
def test_paths_that_lead_elsewhere_are_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a path beneath the data set's folder"):
        relative_path(line, Location.of(tmp_path))


@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".JPG", ".PNG"])
def test_pictures_may_have_any_of_the_usual_suffixes(suffix: str, tmp_path: Path) -> None:
    make_iharmony4(tmp_path, photographs=1)
    for path in [*tmp_path.glob("*/*_images/*"), *tmp_path.glob("*/masks/*")]:
        path.rename(
            path.with_suffix(suffix if path.parent.name != "masks" else suffix.replace("jpeg", "png"))
        )
    source = Location.of(tmp_path)
    stem = next(tmp_path.glob("HCOCO/composite_images/*")).stem
    for listed in (suffix, ".jpg"):  # by its own name, or as released
        lines = path_list("train", f"HCOCO/composite_images/{stem}{listed}")
        (entry,), _ = IHarmony4(source, (lines,), Categories()).entries()
        row = read_entry(source, entry, None)
        assert not isinstance(row, Rejection), row
        assert row["id"] == f"HCOCO/{stem}"
    next(tmp_path.glob("HCOCO/real_images/*")).unlink()
    refused = read_entry(source, entry, None)
    assert isinstance(refused, Rejection)
    assert "ground_truth: missing" in refused.reason


def test_bare_names_of_a_subsets_list_belong_to_its_folder(tmp_path: Path) -> None:
    make_iharmony4(tmp_path, photographs=2)
    (tmp_path / "HCOCO/HCOCO_train.txt").write_text("c01_1_1.jpg\n")
    listed = read_list("HCOCO/HCOCO_train.txt", Location.of(tmp_path))
    entries, _ = IHarmony4(Location.of(tmp_path), (listed,), Categories()).entries()
    assert entries[0].files["ground_truth"] == "HCOCO/real_images/c01.jpg"
    inside = read_list("HCOCO_train.txt", Location.of(tmp_path / "HCOCO"))
    assert inside.folder == ""
    (tmp_path / "composite_images").mkdir()
    (tmp_path / "composite_images/c01_1_1.jpg").write_bytes(b"flat")
    assert read_list("HCOCO/HCOCO_train.txt", Location.of(tmp_path)).folder == ""


def test_equal_names_in_two_subsets_are_two_rows() -> None:
    lines = [f"{subset}/composite_images/x_1_1.jpg" for subset in ("HCOCO", "HFlickr")]
    entries, rejected = iharmony4(path_list("train", *lines))
    assert ([entry.id for entry in entries], rejected) == (["HCOCO/x_1_1", "HFlickr/x_1_1"], [])


def test_lists_as_files(tmp_path: Path) -> None:
    (tmp_path / "IHD_train.txt").write_bytes(b"\xef\xbb\xbfa_1_1.jpg\r\n\r\n  \r\nb_1_1.jpg")
    source = Location.of(tmp_path)
    listed = read_list("IHD_train.txt", source)
    assert (listed.split, listed.lines) == ("IHD_train", ((1, "a_1_1.jpg"), (4, "b_1_1.jpg")))
    assert read_list("base=IHD_train.txt", source).split == "base"
    elsewhere = Location.of(tmp_path / "elsewhere")
    assert read_list(f"{tmp_path}/IHD_train.txt", elsewhere) == listed
    assert read_list(f"file://{tmp_path}/IHD_train.txt", elsewhere).sha256 == listed.sha256
    (tmp_path / "a=b").mkdir()
    (tmp_path / "a=b/IHD_train.txt").write_text("a_1_1.jpg")
    assert read_list("base=a=b/IHD_train.txt", source).split == "base"
    with pytest.raises(ValueError, match="two lists for the split 'IHD_train'"):
        read_lists(["IHD_train.txt", f"IHD_train={tmp_path}/IHD_train.txt"], source)
    with pytest.raises(StorageError, match=r"none\.txt: neither beneath"):
        read_list("none.txt", source)
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match="empty"):
        read_list("empty.txt", source)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="UTF-8"):
        read_list("binary.txt", source)


def test_a_list_that_windows_wrote_is_read(tmp_path: Path) -> None:
    text = "a/composite_images/c1_1_1.jpg\r\na/composite_images/ü_1_1.jpg\r\n"
    for number, encoding in enumerate(("utf-8", "utf-8-sig", "utf-16", "utf-16-be")):
        mark = "\ufeff" if encoding == "utf-16-be" else ""
        (tmp_path / f"{number}.txt").write_bytes(f"{mark}{text}".encode(encoding))
        listed = read_list(f"{number}.txt", Location.of(tmp_path))
        assert [line for _, line in listed.lines] == text.split()


def test_categories(tmp_path: Path) -> None:
    (tmp_path / "categories.tsv").write_text("./HCOCO/composite_images/c1_1_1.jpg\tcar\n\nx\ttwo words\n")
    table = read_categories("categories.tsv", None, Location.of(tmp_path))
    lines = [f"HCOCO/composite_images/c{n}_1_1.jpg" for n in (1, 2)]
    entries, _ = iharmony4(path_list("train", *lines), categories=table)
    assert [entry.stratum.category for entry in entries] == ["car", None]
    entries, _ = iharmony4(path_list("train", *lines), categories=Categories("dog"))
    assert [entry.stratum.category for entry in entries] == ["dog", "dog"]
    with pytest.raises(
        DataError, match=r"none of its 2 paths .*such as 'HCOCO/composite_images/c9_1_1\.jpg'"
    ):
        iharmony4(path_list("train", "HCOCO/composite_images/c9_1_1.jpg"), categories=table)
    (tmp_path / "bad.tsv").write_text("x car\n")
    with pytest.raises(DataError, match="line 1"):
        read_categories("bad.tsv", None, Location.of(tmp_path))


@given(st.lists(st.tuples(st.integers(0, 999), st.booleans()), unique=True, max_size=60), st.integers(1, 50))
def test_shards_hold_every_entry_once_in_any_order_of_lines(drawn: list[tuple[int, bool]], size: int) -> None:
    first = [f"HCOCO/composite_images/c{n}_1_1.jpg" for n, test in drawn if not test]
    second = [f"HFlickr/composite_images/f{n}_1_1.jpg" for n, test in drawn if test]

    def shards(backwards: bool) -> list[list[str]]:
        step = -1 if backwards else 1
        entries, _ = iharmony4(path_list("a", *first[::step]), path_list("b", *second[::step]))
        return [[entry.id for entry in shard] for shard in entries_in_shards(entries, RowKind.PAIR, size)]

    forward_shards = shards(backwards=False)
    assert forward_shards == shards(backwards=True)
    assert all(0 < len(shard) <= size for shard in forward_shards)
    everything = [sample_id for shard in forward_shards for sample_id in shard]
    assert sorted(everything) == sorted(e.id for e in iharmony4(path_list("a", *first, *second))[0])
    domains = [sample_id.partition("/")[0] for sample_id in everything]
    assert domains == sorted(domains)  # rows of a split are stored together


LINES = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@given(LINES)
def test_any_line_is_an_entry_or_rejected(line: str) -> None:
    entries, rejected = iharmony4(path_list("train", line))
    assert len(entries) + len(rejected) == 1


def test_masks_keep_their_grey_values_where_they_are_asked_to(tmp_path: Path) -> None:
    make_iharmony4(tmp_path, photographs=3)
    (line, *_) = (tmp_path / "IHD_train.txt").read_text().split()
    (entry,) = IHarmony4(Location.of(tmp_path), (path_list("train", line),), Categories()).entries()[0]
    file = tmp_path / entry.files["foreground_mask"]
    grey = np.minimum(decode_mask(file.read_bytes()) * np.uint8(255), 255)
    grey[:2, :2] = 100
    file.write_bytes(encode_png(grey))
    kept = read_entry(Location.of(tmp_path), entry, None, keep_mask=True)
    assert kept["foreground_mask"] == file.read_bytes()
    assert np.array_equal(scoring_mask(kept["foreground_mask"], None, Protocol.PCT_NET), grey)
    stored = read_entry(Location.of(tmp_path), entry, None)
    assert np.array_equal(decode_mask(stored["foreground_mask"]), (grey == 255).astype(np.uint8))
    assert stored["foreground_ratio"] == kept["foreground_ratio"]
