"""`charmnet shard` and `charmnet inspect` on a real object store and a real Ray cluster."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.composition import exchange_foreground
from charmnet.image_limits import image_size
from pipelines.commands.cli import main
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from tests.factories import make_iharmony4, make_rdharmony
from tests.fixtures.object_store import ObjectStoreForTests

pytestmark = pytest.mark.usefixtures("ray_cluster")


def all_rows(uri: str) -> dict[str, dict]:
    dataset = Dataset.open(uri)
    tables = [dataset.read_row_group(shard, group) for shard, group, _ in dataset.manifest.groups()]
    return {row["id"]: row for table in tables for row in table.to_pylist()}


def rejected_lines(uri: str) -> dict[str, str]:
    text = (Location.of(uri) / "rejected.jsonl").read_bytes().decode()
    return {entry["file"]: entry["reason"] for entry in map(json.loads, text.splitlines())}


def modification_times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Sixteen composites, five of which are bad in five ways."""
    folder = tmp_path / "iharmony4"
    make_iharmony4(folder, photographs=8)
    hcoco = folder / "HCOCO"
    composites = hcoco / "composite_images"
    (composites / "c01_1_1.jpg").write_bytes((composites / "c01_1_1.jpg").read_bytes()[:-400])
    (composites / "c02_1_1.jpg").unlink()
    narrow = decode_rgb((composites / "c03_1_1.jpg").read_bytes())[:, :90]
    (composites / "c03_1_1.jpg").write_bytes(encode_jpeg(narrow))
    (hcoco / "masks/c04_1.png").write_bytes(encode_png(np.full((64, 96), 254, np.uint8)))
    with (folder / "IHD_train.txt").open("a") as stream:
        stream.write("HCOCO/composite_images/c01.jpg\r\n")
    return folder


def test_bad_pictures_are_reported_and_limited_and_can_be_allowed(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = tmp_path / "out"
    lists = ["--list", "IHD_train.txt", "--list", "base=IHD_train.txt", "--list", "IHD_test.txt"]
    command = ["shard", "iharmony4", "--source", str(damaged), *lists, "--dest", str(destination)]
    command += ["--shard-samples", "4", "--max-rejected", "0.06"]
    assert main(command) == 1
    message = capsys.readouterr().err
    assert "--max-rejected allows 6.00%" in message
    assert "Traceback" not in message
    reasons = rejected_lines(str(destination))
    for file, reason in {
        "HCOCO/composite_images/c01_1_1.jpg": "composite: ",
        "HCOCO/composite_images/c02_1_1.jpg": "missing",
        "HCOCO/composite_images/c03_1_1.jpg": "(height, width)",
        "HCOCO/masks/c04_1.png": "empty",
        "HCOCO/composite_images/c01.jpg": "IMAGE_MASK_VARIANT",
    }.items():
        matching = [text for path, text in reasons.items() if path == file]
        assert matching, f"{file} is not among {reasons}"
        assert reason in matching[0]
    assert not (destination / "manifest.json").exists()

    before = modification_times(destination)
    lost = sorted(before)[1]
    (destination / "_parts" / lost).with_suffix(".json").unlink()  # as if the run had been killed there
    assert main([*command, "--max-rejected", "0.5"]) == 0
    after = modification_times(destination)
    assert {name for name in before if before[name] != after[name]} == {lost}
    assert sorted(path.name for path in destination.iterdir()) == sorted(
        [*before, "manifest.json", "rejected.jsonl"]
    )
    rows = all_rows(str(destination))
    assert len(rows) == 11
    assert rows["HCOCO/c05_1_1"]["splits"] == ["IHD_train", "base"]
    assert rows["HCOCO/c08_1_1"]["splits"] == ["IHD_test"]
    original = damaged / "HCOCO/composite_images/c05_1_1.jpg"
    assert rows["HCOCO/c05_1_1"]["composite"] == original.read_bytes()

    capsys.readouterr()
    assert main(command) == 0
    assert "is finished" in capsys.readouterr().out
    assert modification_times(destination) == after
    assert main([*command, "--max-size", "48"]) == 1
    assert "differs in max_size (None there, 48 asked)" in capsys.readouterr().err


def test_corrected_files_are_read_with_retry_rejected(damaged: Path, tmp_path: Path) -> None:
    destination = tmp_path / "out"
    command = ["shard", "iharmony4", "--source", str(damaged), "--list", "IHD_train.txt"]
    command += ["--dest", str(destination), "--shard-samples", "100", "--max-rejected", "0.1"]
    assert main(command) == 1
    whole = tmp_path / "whole"
    make_iharmony4(whole, photographs=8)
    for path in (whole / "HCOCO").rglob("*.*"):
        (damaged / path.relative_to(whole)).write_bytes(path.read_bytes())
    assert main([*command, "--retry-rejected"]) == 0
    assert Dataset.open(str(destination)).manifest.rows == 12
    assert list(rejected_lines(str(destination))) == ["HCOCO/composite_images/c01.jpg"]


def test_a_destination_with_other_files_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_iharmony4(tmp_path / "source", photographs=2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("mine")
    command = ["shard", "iharmony4", "--source", str(tmp_path / "source"), "--list", "IHD_train.txt"]
    assert main([*command, "--dest", str(tmp_path / "out")]) == 1
    assert "thesis.tex" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    assert main([*command, "--dest", str(tmp_path / "new"), "--max-rejected", "1%"[:1] + ".5"]) == 2
    assert main(["shard", "iharmony4", "--source", str(tmp_path / "none"), *command[4:], "--dest", "x"]) == 1
    assert "neither beneath" in capsys.readouterr().err
    elsewhere = [*command[:-1], str(tmp_path / "source/IHD_train.txt"), "--dest", str(tmp_path / "new")]
    elsewhere[elsewhere.index("--source") + 1] = str(tmp_path / "none")
    assert main(elsewhere) == 1
    assert "--source file://" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()  # it is free for the right source


def test_categories_and_sizes_reach_the_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "source", tmp_path / "run #1"
    lines = make_iharmony4(source, photographs=2)["IHD_train"]
    (source / "categories.tsv").write_text(f"{lines[0]}\tdog\n")
    command = ["shard", "iharmony4", "--source", str(source), "--dest", str(out), "--list", "IHD_train.txt"]
    with (source / "IHD_train.txt").open("a") as stream:
        stream.write("broken\n")
    assert main([*command, "--categories", "categories.tsv", "--max-size", "48"]) == 1
    assert "correct the lists" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["rejected.jsonl"]
    (source / "IHD_train.txt").write_text("".join(f"{line}\n" for line in lines))
    assert main([*command, "--categories", "categories.tsv", "--max-size", "48"]) == 0
    categories = {row["category"]: (row["height"], row["width"]) for row in all_rows(str(out)).values()}
    assert categories == {"dog": (32, 48), None: (32, 48)}

    sheet, json_path = tmp_path / "new/sheet.jpg", tmp_path / "summary.json"
    inspect = ["inspect", str(out), "--contact-sheet", str(sheet), "--json", str(json_path)]
    assert main([*inspect, "--select", "category == 'dog'"]) == 0
    assert image_size(sheet.read_bytes())
    summary = json.loads(json_path.read_text())
    assert (summary["rows"], summary["whole"]) == (1, {"rows": 2, "samples": 2})
    assert summary["sizes"]["most_common"] == [{"width": 48, "height": 32, "rows": 1}]
    assert main([*inspect, "--select", "category == 'cat'"]) == 2
    assert "picks nothing" in capsys.readouterr().err


def test_an_empty_source_leaves_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars/empty.tar", "w"):
        pass
    destination = tmp_path / "out"
    for layout in ("rdharmony", "webdataset"):
        assert main(["shard", layout, "--source", str(tmp_path / "tars"), "--dest", str(destination)]) == 1
        assert "expected" in capsys.readouterr().err
        assert [path for path in destination.rglob("*") if path.is_file()] == []


def test_scenes_and_pairs_from_a_bucket_to_a_bucket(
    s3: ObjectStoreForTests, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_rdharmony(tmp_path / "rdharmony", scenes=2)
    path = s3.prefix()
    Location.of(f"{path}/source").upload_folder(tmp_path / "rdharmony")
    command = ["shard", "rdharmony", "--source", f"{path}/source"]
    labelled = ["--list", "SHuman/SHuman_all_labeled.txt"]
    assert main([*command, *labelled, "--dest", f"{path}/scenes"]) == 0
    assert main([*command, *labelled, "--layout", "pairs", "--dest", f"{path}/pairs"]) == 0
    scenes, pairs = all_rows(f"{path}/scenes"), all_rows(f"{path}/pairs")
    assert (len(scenes), len(pairs)) == (2, 180)
    assert Dataset.open(f"{path}/scenes").manifest.samples == 20
    listed = scenes["SHuman/002"]["pairs"][17]
    name = f"SHuman/002-{listed['background'] + 1:02d}_{listed['foreground'] + 1:02d}"
    pair = pairs[name]
    assert pair["ground_truth_style"] == listed["background"]
    assert pair["composite_style"] == listed["composite_style"]
    images, mask = scenes["SHuman/002"]["images"], decode_mask(pair["foreground_mask"])
    assert images[listed["background"]] == pair["ground_truth"]
    composed = exchange_foreground(
        decode_rgb(images[listed["foreground"]]), decode_rgb(images[listed["background"]]), mask
    )
    difference = np.abs(composed.astype(int) - decode_rgb(pair["composite"]))
    assert difference.mean() < 2  # the stored composite went through JPEG once more

    capsys.readouterr()
    sheet, json_path = tmp_path / "sheet.png", tmp_path / "summary.json"
    inspect = [
        "inspect",
        f"{path}/scenes",
        "--verify",
        "--contact-sheet",
        str(sheet),
        "--json",
        str(json_path),
    ]
    assert main(inspect) == 0
    out = capsys.readouterr().out
    assert "sunrise_sunset_partly_cloudy" in out
    assert "2 rows decoded" in out
    height, width = image_size(sheet.read_bytes())
    assert width > 1000
    assert height > 200
    assert json.loads(json_path.read_text())["condition"]["night"] == {"samples": 2}

    shard = Location.of(f"{path}/scenes/part-00000.parquet")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(bytes(data))
    assert main([*inspect[:3], "--no-contact-sheet", "--json", str(json_path)]) == 1
    failures = json.loads(json_path.read_text())["failures"]
    assert [failure["row_group"] for failure in failures] == [None, 0]


def with_masks_decoded(rows: dict[str, dict]) -> dict[str, dict]:
    return {
        name: row | {"foreground_mask": decode_mask(row["foreground_mask"]).tolist()}
        for name, row in rows.items()
    }


def test_archives_in_place_are_the_same_data_set_as_their_parquet(
    s3: ObjectStoreForTests, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = make_iharmony4(tmp_path / "source", photographs=4)
    for number, (split, lines) in enumerate(lists.items()):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            for line in lines:
                composite = tmp_path / "source" / line
                image = composite.stem.partition("_")[0]
                tar.add(composite, f"{composite.stem}.composite.jpg")
                tar.add(tmp_path / f"source/HCOCO/masks/{image}_1.png", f"{composite.stem}.mask.png")
                truth = tmp_path / f"source/HCOCO/real_images/{image}.jpg"
                tar.add(truth, f"{composite.stem}.ground_truth.jpg")
                json_path = tmp_path / "summary.json"
                json_path.write_text(json.dumps({"splits": [split]}))
                tar.add(json_path, f"{composite.stem}.json")
        (Location.of(s3.uri) / f"tars/{number}.tar").write_bytes((tmp_path / f"{number}.tar").read_bytes())
    tars = f"{s3.uri}/tars"
    command = ["shard", "webdataset", "--source", tars, "--subset", "HCOCO", "--category", "dog"]
    assert main([*command, "--in-place"]) == 0
    assert main([*command, "--dest", f"{s3.uri}/from-tars"]) == 0
    assert Location.of(tars).walk_files() == ["0.tar", "1.tar", "manifest.json"]
    rows = all_rows(tars)
    assert with_masks_decoded(rows) == with_masks_decoded(all_rows(f"{s3.uri}/from-tars"))
    assert rows["0/c01_1_1"]["splits"] == ["IHD_train"]
    assert main(["inspect", tars, "--verify", "--select", "split == 'IHD_test'", "--no-contact-sheet"]) == 0
    assert "2 checksums" in capsys.readouterr().out
    assert main([*command, "--in-place"]) == 0
    assert "is finished" in capsys.readouterr().out
    (Location.of(tars) / "2.tar").write_bytes((Location.of(tars) / "1.tar").read_bytes())
    assert main([*command, "--in-place"]) == 1
    assert "delete manifest.json" in capsys.readouterr().err
    (Location.of(tars) / "manifest.json").delete()
    assert main([*command, "--in-place"]) == 0
    assert Dataset.open(tars).manifest.rows == 10
    assert main([*command, "--in-place", "--max-size", "32"]) == 2
    assert main([*command]) == 2
