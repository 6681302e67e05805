"""Lists and file names of iHarmony4 and RdHarmony, as entries; no picture is opened here."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.errors import CharmNetError, DataError, StorageError
from charmnet.vocabulary import CaptureCondition
from pipelines.shards.entries import Entry, Rejection, read_entry
from pipelines.shards.iharmony4 import IHarmony4
from pipelines.shards.job import entries_in_shards
from pipelines.shards.lists import Categories, PathList, read_categories, read_list, read_lists
from pipelines.shards.rdharmony import Layout, RdHarmony, category_of_subset, parse_condition_order
from pipelines.shards.schema import RowKind
from pipelines.storage import Location
from tests.factories import make_iharmony4, make_rdharmony

SOURCE = Location.of("s3://bucket/data")


def path_list(split: str, *lines: str) -> PathList:
    return PathList(split, f"{split}.txt", "0" * 64, tuple(enumerate(lines, start=1)))


def iharmony4(*lists: PathList, categories: Categories | None = None) -> tuple[list[Entry], list[Rejection]]:
    return IHarmony4(SOURCE, lists, categories or Categories()).entries()


def test_names_lead_to_mask_and_ground_truth() -> None:
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
def test_a_line_that_cannot_be_is_rejected_with_its_reason(line: str, reason: str) -> None:
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
    found = read_list("IHD_train.txt", source)
    assert (found.split, found.lines) == ("IHD_train", ((1, "a_1_1.jpg"), (4, "b_1_1.jpg")))
    assert read_list("base=IHD_train.txt", source).split == "base"
    elsewhere = Location.of(tmp_path / "elsewhere")
    assert read_list(f"{tmp_path}/IHD_train.txt", elsewhere) == found
    assert read_list(f"file://{tmp_path}/IHD_train.txt", elsewhere).sha256 == found.sha256
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


def rdharmony(folder: Path, lines: list[str], **options: object) -> RdHarmony:
    lists = (path_list("SHuman_all_labeled", *lines),) if lines else ()
    return RdHarmony(Location.of(folder), lists, Categories(), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("rdharmony")
    return folder, make_rdharmony(folder, scenes=2, size=(16, 24))


def test_without_a_list_every_scene_is_taken_whole(scenes: tuple[Path, list[str]]) -> None:
    data = rdharmony(scenes[0], [])
    entries, rejected = data.entries()
    assert (data.kind, rejected) == (RowKind.SCENE, [])
    assert [entry.id for entry in entries] == ["SHuman/001", "SHuman/002"]
    assert entries[0].labels == {"pairs": None}
    assert entries[0].stratum.category == "human"
    assert entries[0].files["images[9]"] == "SHuman/real_images/001-10.jpg"
    assert entries[0].files["foreground_mask"] == "SHuman/masks/001.png"
    inside = RdHarmony(Location.of(scenes[0] / "SHuman"), (), Categories())
    assert [entry.id for entry in inside.entries()[0]] == ["SHuman/001", "SHuman/002"]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    "path", ["SHuman/composite_images/001-03_04.jpg", "SHuman/real_images/001-03.jpg", "SHuman/001"]
)
def test_a_table_of_categories_reaches_scenes(
    scenes: tuple[Path, list[str]], path: str, listed: bool
) -> None:
    lists = (path_list("all", *scenes[1]),) if listed else ()

    def categories(table: dict[str, str]) -> list[str | None]:
        data = RdHarmony(Location.of(scenes[0]), lists, Categories(table=table))
        return [entry.stratum.category for entry in data.entries()[0]]

    assert categories({path: "dancer"}) == ["dancer", "human"]
    with pytest.raises(DataError, match="none of its 1 paths"):
        categories({path.replace("001", "777"): "dancer"})
    with pytest.raises(DataError, match="one category for a scene"):
        categories({path: "dancer", "SHuman/real_images/001-05.jpg": "walker"})


@pytest.mark.parametrize("layout", list(Layout))
def test_equal_ids_of_two_folders_are_duplicates(scenes: tuple[Path, list[str]], layout: Layout) -> None:
    lines = [f"{folder}/{line}" for folder in "ab" for line in scenes[1][:90]]
    entries, rejected = rdharmony(scenes[0], lines, asked_layout=layout).entries()
    assert sum(entry.items for entry in entries) == sum(rejection.items for rejection in rejected) == 90
    assert "duplicate id SHuman/001" in rejected[0].reason
    assert rejected[0].file.startswith("b/")


def test_folders_without_a_list_collide_too(tmp_path: Path) -> None:
    for folder in "ab":
        make_rdharmony(tmp_path / folder, scenes=1, size=(16, 24), composites=False)
    entries, rejected = rdharmony(tmp_path, []).entries()
    assert ([entry.id for entry in entries], len(rejected)) == (["SHuman/001"], 1)


def test_a_scene_that_lacks_a_picture_names_it(tmp_path: Path) -> None:
    make_rdharmony(tmp_path, scenes=1, size=(16, 24), composites=False)
    (tmp_path / "SHuman/real_images/001-04.jpg").unlink()
    entries, _ = rdharmony(tmp_path, []).entries()
    found = read_entry(Location.of(tmp_path), entries[0], None)
    assert isinstance(found, Rejection)
    assert found.file == "SHuman/real_images/001-04.jpg"
    assert "missing" in found.reason


def test_a_source_without_scenes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no scenes beneath"):
        rdharmony(tmp_path / "none", []).identity()


def test_a_list_of_whole_scenes_keeps_their_labels(scenes: tuple[Path, list[str]]) -> None:
    data = rdharmony(*scenes)
    entries, rejected = data.entries()
    assert (data.layout, rejected, len(entries)) == (Layout.SCENES, [], 2)
    pairs = entries[0].labels["pairs"]
    assert len(pairs) == entries[0].items == 90
    assert entries[0].stratum.splits == ("SHuman_all_labeled",)
    first = next(pair for pair in pairs if (pair["background"], pair["foreground"]) == (0, 1))
    assert first["composite_style"] == [float(p) for p in scenes[1][0].split("\t")[1].split("_")]


def test_a_partial_list_is_stored_as_pairs_unless_asked(scenes: tuple[Path, list[str]]) -> None:
    folder, lines = scenes
    data = rdharmony(folder, lines[3:5])
    entries, _ = data.entries()
    assert data.layout is Layout.PAIRS
    assert entries[0].files == {
        "composite": "SHuman/composite_images/001-01_05.jpg",
        "ground_truth": "SHuman/real_images/001-01.jpg",
        "foreground_mask": "SHuman/masks/001.png",
    }
    assert entries[0].labels["ground_truth_style"] == 0
    drawn = rdharmony(folder, lines[3:5], asked_layout=Layout.SCENES).entries()[0]
    assert [(p["foreground"], p["background"]) for p in drawn[0].labels["pairs"]] == [(4, 0), (5, 0)]
    assert drawn[0].files["images[9]"].endswith("001-10.jpg")


def test_one_bad_label_rejects_its_line_and_not_the_layout(scenes: tuple[Path, list[str]]) -> None:
    folder, lines = scenes
    path, label, number = lines[7].split("\t")
    broken = [*lines[:7], "\t".join([path, label.replace("1_", "5_", 1).replace("0.9", "0.5"), number])]
    data = rdharmony(folder, [*broken, *lines[8:]])
    entries, rejected = data.entries()
    assert data.layout is Layout.SCENES
    assert [entry.items for entry in entries] == [89, 90]
    assert rejected[0].file == path
    assert "line 8" in rejected[0].reason
    assert "sums to" in rejected[0].reason


ONE_HOT = "_".join(["1.0", *["0.0"] * 9])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"SHuman/composite_images/001-01_02.jpg {ONE_HOT} 1", "1 columns"),
        (f"SHuman/composite_images/001-01_02.jpg\t{ONE_HOT}\t11", "condition '11'"),
        (f"SHuman/composite_images/001-01_02.jpg\t{ONE_HOT}\t0", "condition '0'"),
        ("SHuman/composite_images/001-01_02.jpg\t0.5_0.5\t1", "2 numbers"),
        ("SHuman/composite_images/001-01_02.jpg\ta_b\t1", "ten numbers"),
        (f"SHuman/composite_images/001.jpg\t{ONE_HOT}\t1", "SCENE-BACKGROUND_FOREGROUND"),
        (f"SHuman/composite_images/001-01_02.jpg\t{ONE_HOT}\t2", "another condition"),
        (f"SHuman/composite_images/001-01_01.jpg\t{ONE_HOT}\t1", "of one condition"),
        (f"SHuman/composite_images/001-01_99.jpg\t{ONE_HOT}\t1", "does not tell"),
    ],
)
def test_a_bad_rdharmony_line_is_rejected(tmp_path: Path, line: str, reason: str) -> None:
    good = f"SHuman/composite_images/001-03_02.jpg\t{ONE_HOT}\t3"
    entries, rejected = rdharmony(tmp_path, [good, line], asked_layout=Layout.SCENES).entries()
    assert len(entries) == len(rejected) == 1
    assert reason in rejected[0].reason


def test_the_same_pair_with_another_label_is_a_duplicate(scenes: tuple[Path, list[str]]) -> None:
    folder, lines = scenes
    again = lines[0].rpartition("\t")[0] + "\t2"
    entries, rejected = rdharmony(folder, [lines[0], lines[0], again]).entries()
    assert len(entries) == 1
    assert "duplicate" in rejected[0].reason


def test_scenes_divided_between_lists_are_pairs(scenes: tuple[Path, list[str]]) -> None:
    folder, lines = scenes
    lists = (path_list("train", *lines[:45]), path_list("test", *lines[45:]))
    data = RdHarmony(Location.of(folder), lists, Categories())
    assert data.layout is Layout.PAIRS
    asked = RdHarmony(Location.of(folder), lists, Categories(), asked_layout=Layout.SCENES)
    with pytest.raises(ValueError, match="divided between lists"):
        asked.entries()


def test_conditions_can_be_reordered(scenes: tuple[Path, list[str]]) -> None:
    order = parse_condition_order("night,2,3,4,5,6,7,8,9,sunrise_sunset_clear")
    assert order == (9, 1, 2, 3, 4, 5, 6, 7, 8, 0)
    data = rdharmony(*scenes, order=order)
    first = data.entries()[0][0]
    assert first.files["images[9]"] == "SHuman/real_images/001-01.jpg"  # released 1 is night
    assert first.files["images[0]"] == "SHuman/real_images/001-10.jpg"
    night = next(p for p in first.labels["pairs"] if (p["background"], p["foreground"]) == (9, 1))
    assert night["composite_style"][9] > 0.5
    pair = rdharmony(scenes[0], scenes[1][:1], order=order).entries()[0][0]
    assert pair.labels["ground_truth_style"] == CaptureCondition.NIGHT
    assert pair.labels["composite_style"][9] > 0.5
    for wrong in ("1,2,3", "1,1,2,3,4,5,6,7,8,9", "0,1,2,3,4,5,6,7,8,9", "dawn,2,3,4,5,6,7,8,9,10"):
        with pytest.raises(ValueError, match="--condition-order"):
            parse_condition_order(wrong)


def test_pairs_need_a_list(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--list"):
        _ = rdharmony(tmp_path, [], asked_layout=Layout.PAIRS).layout


def test_category_from_the_folder() -> None:
    assert category_of_subset("SHuman") == "human"
    assert category_of_subset("SMotorcycle") == "motorcycle"
    assert category_of_subset("scenes") is None


@given(st.lists(st.tuples(st.integers(0, 999), st.booleans()), unique=True, max_size=60), st.integers(1, 50))
def test_shards_hold_every_entry_once_whatever_the_order(drawn: list[tuple[int, bool]], size: int) -> None:
    first = [f"HCOCO/composite_images/c{n}_1_1.jpg" for n, test in drawn if not test]
    second = [f"HFlickr/composite_images/f{n}_1_1.jpg" for n, test in drawn if test]

    def shards(turned: bool) -> list[list[str]]:
        step = -1 if turned else 1
        entries, _ = iharmony4(path_list("a", *first[::step]), path_list("b", *second[::step]))
        return [[entry.id for entry in shard] for shard in entries_in_shards(entries, RowKind.PAIR, size)]

    made = shards(turned=False)
    assert made == shards(turned=True)
    assert all(0 < len(shard) <= size for shard in made)
    everything = [sample_id for shard in made for sample_id in shard]
    assert sorted(everything) == sorted(e.id for e in iharmony4(path_list("a", *first, *second))[0])
    domains = [sample_id.partition("/")[0] for sample_id in everything]
    assert domains == sorted(domains)  # a split's rows lie together


def test_nonsense_never_escapes_as_another_error(tmp_path: Path) -> None:
    @given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
    def check(line: str) -> None:
        try:
            iharmony4(path_list("train", line))
            rdharmony(tmp_path, [line or "x"], asked_layout=Layout.PAIRS).entries()
        except CharmNetError as error:
            raise AssertionError("a bad line must be rejected, not fail the run") from error

    check()
