"""Entries from the lists and file names of RdHarmony; no picture is opened."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmnet.errors import DataError
from charmnet.vocabulary import CaptureCondition
from pipelines.conversion.entries import read_entry
from pipelines.conversion.lists import Categories
from pipelines.conversion.rdharmony import Layout, RdHarmony, category_of_subset, parse_condition_order
from pipelines.runtime.storage import Location
from pipelines.shards.rejection import Rejection
from pipelines.shards.schema import RowKind
from tests.factories import make_rdharmony, path_list


def rdharmony(folder: Path, lines: list[str], **options: object) -> RdHarmony:
    lists = (path_list("SHuman_all_labeled", *lines),) if lines else ()
    return RdHarmony(Location.of(folder), lists, Categories(), **options)


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
def test_a_table_of_categories_applies_to_scenes(
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
    entries, rejected = rdharmony(scenes[0], lines, requested_layout=layout).entries()
    assert sum(entry.items for entry in entries) == sum(rejection.items for rejection in rejected) == 90
    assert "duplicate id SHuman/001" in rejected[0].reason
    assert rejected[0].file.startswith("b/")


def test_equal_ids_without_a_list_are_duplicates(tmp_path: Path) -> None:
    for folder in "ab":
        make_rdharmony(tmp_path / folder, scenes=1, size=(16, 24), composites=False)
    entries, rejected = rdharmony(tmp_path, []).entries()
    assert ([entry.id for entry in entries], len(rejected)) == (["SHuman/001"], 1)


def test_a_missing_picture_of_a_scene_is_named(tmp_path: Path) -> None:
    make_rdharmony(tmp_path, scenes=1, size=(16, 24), composites=False)
    (tmp_path / "SHuman/real_images/001-04.jpg").unlink()
    entries, _ = rdharmony(tmp_path, []).entries()
    rejection = read_entry(Location.of(tmp_path), entries[0], None)
    assert isinstance(rejection, Rejection)
    assert rejection.file == "SHuman/real_images/001-04.jpg"
    assert "missing" in rejection.reason


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


def test_a_partial_list_is_stored_as_pairs_by_default(scenes: tuple[Path, list[str]]) -> None:
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
    drawn = rdharmony(folder, lines[3:5], requested_layout=Layout.SCENES).entries()[0]
    assert [(p["foreground"], p["background"]) for p in drawn[0].labels["pairs"]] == [(4, 0), (5, 0)]
    assert drawn[0].files["images[9]"].endswith("001-10.jpg")


def test_a_bad_label_rejects_its_line_and_keeps_the_layout(scenes: tuple[Path, list[str]]) -> None:
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
        (f"SHuman/composite_images/001-01_01.jpg\t{ONE_HOT}\t1", "have the same condition"),
        (f"SHuman/composite_images/001-01_99.jpg\t{ONE_HOT}\t1", "does not give"),
    ],
)
def test_a_bad_rdharmony_line_is_rejected(tmp_path: Path, line: str, reason: str) -> None:
    good = f"SHuman/composite_images/001-03_02.jpg\t{ONE_HOT}\t3"
    entries, rejected = rdharmony(tmp_path, [good, line], requested_layout=Layout.SCENES).entries()
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
    requested = RdHarmony(Location.of(folder), lists, Categories(), requested_layout=Layout.SCENES)
    with pytest.raises(ValueError, match="divided between lists"):
        requested.entries()


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
        _ = rdharmony(tmp_path, [], requested_layout=Layout.PAIRS).layout


def test_category_from_the_folder() -> None:
    assert category_of_subset("SHuman") == "human"
    assert category_of_subset("SMotorcycle") == "motorcycle"
    assert category_of_subset("scenes") is None


LINES = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@given(LINES)
def test_any_line_is_an_entry_or_rejected(line: str) -> None:
    entries, rejected = rdharmony(Path("none"), [line or "x"], requested_layout=Layout.PAIRS).entries()
    assert len(entries) + len(rejected) == 1
