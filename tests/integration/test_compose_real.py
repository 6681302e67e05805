"""`charmnet compose-real` as a user calls it: photographs and masks in a store, composites out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from charmnet.codecs import decode_mask, decode_rgb, encode_jpeg, encode_png
from charmnet.image_limits import image_size
from pipelines.commands.cli import main
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from tests.factories import foreground
from tests.fixtures.object_store import ObjectStoreForTests

pytestmark = pytest.mark.usefixtures("ray_cluster")

# scikit-image's photographs, as they are and in other light (gains of R, G, B)
PHOTOGRAPHS = {
    "chelsea": ("chelsea", (1.0, 1.0, 1.0)),
    "chelsea_dim": ("chelsea", (0.7, 0.7, 0.75)),
    "coffee": ("coffee", (1.0, 1.0, 1.0)),
    "coffee_dim": ("coffee", (0.75, 0.8, 0.9)),
    "rocket": ("rocket", (1.0, 0.95, 0.9)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs with two masks each, and three masks that are unfit in three ways."""
    import skimage.data

    folder = tmp_path_factory.mktemp("own")
    (folder / "photos").mkdir()
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    for name, (source, gains) in PHOTOGRAPHS.items():
        image = cv2.resize(getattr(skimage.data, source)(), (160, 120), interpolation=cv2.INTER_AREA)
        image = (image * gains).astype(np.uint8)
        (folder / f"photos/{name}.jpg").write_bytes(encode_jpeg(image))
        for number in ("", "_2"):
            mask = foreground(rng, (120, 160)) * np.uint8(255)
            (folder / f"masks/{name}{number}.png").write_bytes(encode_png(mask))
    point = np.zeros((120, 160), np.uint8)
    point[5, 5] = 255
    (folder / "masks/coffee_7.png").write_bytes(encode_png(point))
    (folder / "masks/coffee_8.png").write_bytes(encode_png(np.full((12, 16), 255, np.uint8)))
    (folder / "masks/nowhere_1.png").write_bytes(encode_png(point))
    return folder


def command(source: str, destination: str, *more: str) -> list[str]:
    places = ["--photos", f"{source}/photos", "--masks", f"{source}/masks", "--dest", destination]
    return ["compose-real", *places, "--per-mask", "3", "--subset", "Own", "--max-rejected", "0.4", *more]


def rows_of(uri: str) -> dict[str, dict]:
    dataset = Dataset.open(uri)
    tables = [dataset.read_row_group(shard, group) for shard, group, _ in dataset.manifest.groups()]
    return {row["id"]: row for table in tables for row in table.to_pylist()}


def rejected_of(uri: str) -> dict[str, str]:
    lines = (Location.of(uri) / "rejected.jsonl").read_bytes().decode().splitlines()
    return {entry["file"]: entry["reason"] for entry in map(json.loads, lines)}


@pytest.fixture(scope="module")
def made(s3: ObjectStoreForTests, folder: Path) -> tuple[str, str]:
    """(source, destination) of a data set made in the store."""
    path = s3.prefix()
    Location.of(f"{path}/own").upload_folder(folder)
    assert main(command(f"{path}/own", f"{path}/out", "--shard-samples", "6")) == 0
    return f"{path}/own", f"{path}/out"


def test_composites_are_the_photograph_but_for_their_foreground(made: tuple[str, str]) -> None:
    rows = rows_of(made[1])
    assert len(rows) >= 15
    for name, row in rows.items():
        assert name.startswith("Own/")
        truth, composite = (decode_rgb(row[role]).astype(int) for role in ("ground_truth", "composite"))
        mask = decode_mask(row["foreground_mask"])
        far = cv2.dilate(mask, np.ones((35, 35), np.uint8)) == 0  # JPEG's blocks at the edge hold both
        assert (truth == composite)[far].all()
        assert 60 < np.square(truth - composite)[mask > 0].mean() < 3800
    assert {row["domain"] for row in rows.values()} == {"real"}


def test_all_of_a_photograph_is_in_one_split(made: tuple[str, str]) -> None:
    splits: dict[str, set[str]] = {}
    for name, row in rows_of(made[1]).items():
        photograph = name.removeprefix("Own/").rsplit("_", 2)[0]
        splits.setdefault(photograph, set()).update(row["splits"])
    assert set(splits) <= set(PHOTOGRAPHS)
    assert all(len(names) == 1 for names in splits.values())
    assert sum(names == {"test"} for names in splits.values()) == 1
    assert sum(names == {"validation"} for names in splits.values()) == 1


def test_masks_that_give_nothing_are_named_and_limited(
    made: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, destination = made
    reasons = rejected_of(destination)
    assert "foreground ratio: 0.0001" in reasons["coffee_7.png"]
    assert "(height, width) of the mask is (12, 16)" in reasons["coffee_8.png"]
    assert "expected nowhere.jpg" in reasons["nowhere_1.png"]
    few = command(source, str(tmp_path / "few"), "--max-rejected", "0.1")
    assert main(few) == 1
    assert "--max-rejected allows 10.00%" in capsys.readouterr().err
    (tmp_path / "table.tsv").write_text("coffee.jpg\tcup\ncoffee_dim_2.png\tcup\nrocket.jpg\trocket\n")
    table = ["--categories", str(tmp_path / "table.tsv")]
    assert main(command(source, str(tmp_path / "categories"), *table, "--max-rejected", "0.9")) == 0
    assert (
        "no other photograph with a foreground of category 'rocket'"
        in rejected_of(str(tmp_path / "categories"))["rocket.png"]
    )
    foregrounds = {
        name.rsplit("_", 1)[0]: row["category"] for name, row in rows_of(str(tmp_path / "categories")).items()
    }
    assert {foregrounds.get("Own/coffee_0", "cup"), foregrounds.get("Own/coffee_dim_2", "cup")} == {"cup"}


def test_the_seed_gives_the_bytes_wherever_a_run_was_cut_off(
    made: tuple[str, str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped after measuring, and gone on with: the same as made in one go."""
    source, destination = made
    cut = tmp_path / "cut"
    again = command(source, str(cut), "--shard-samples", "6")
    assert main([*again, "--max-rejected", "0.01"]) == 1  # refused by names: nothing is begun
    assert not (cut / "_plan.json").exists()
    assert main([*again, "--max-rejected", "0.1"]) == 1  # measured, and too many unfit
    assert (cut / "_parts/colors.json").exists()
    assert main(again) == 0
    digest = Dataset.open(destination).manifest.digest
    assert Dataset.open(str(cut)).manifest.digest == digest
    assert {path.name for path in cut.iterdir() if path.suffix != ".parquet"} == {
        "manifest.json",
        "rejected.jsonl",
    }

    capsys.readouterr()
    assert main(again) == 0
    assert "is finished" in capsys.readouterr().out
    assert main([*again, "--seed", "1"]) == 1
    assert "differs in seed (0 there, 1 asked)" in capsys.readouterr().err
    other = command(str(folder), str(tmp_path / "other"), "--shard-samples", "6", "--seed", "1")
    assert main(other) == 0
    assert Dataset.open(str(tmp_path / "other")).manifest.digest != digest


def test_the_released_layout_is_what_shard_reads(
    made: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, destination = made
    released = tmp_path / "released"
    command_line = command(source, str(released), "--layout", "released", "--shard-samples", "6")
    assert main(command_line) == 0
    assert not (released / "_parts").exists()
    assert (released / "Own/real_images/coffee.jpg").exists()
    lists = [word for split in ("train", "validation", "test") for word in ("--list", f"{split}.txt")]
    assert (
        main(["shard", "iharmony4", "--source", str(released), *lists, "--dest", str(tmp_path / "out")]) == 0
    )
    assert rows_of(str(tmp_path / "out")) == rows_of(destination)
    capsys.readouterr()
    assert main(command_line) == 0
    assert "is finished" in capsys.readouterr().out
    assert main([*command_line, "--seed", "4"]) == 1
    assert "differs in seed" in capsys.readouterr().err


def test_what_is_made_can_be_trained_on(made: tuple[str, str]) -> None:
    spec = StreamSpec(Dataset.open(made[1]), batch_size=4, size=64)
    blocks = list(read_window(spec, 0, 2, block_rows=4))
    assert [len(block["id"]) for block in blocks] == [4, 4]
    assert blocks[0]["composite"].shape == (4, 64, 64, 3)


def test_photographs_are_kept_once_and_recoloured_when_read(
    made: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, pairs = made
    kept = tmp_path / "kept"
    command_line = command(source, str(kept), "--layout", "photographs", "--shard-samples", "4")
    assert main(command_line) == 0
    dataset = Dataset.open(str(kept))
    rows = rows_of(str(kept))
    for name, row in rows.items():  # the photographs' own bytes
        file = Location.of(f"{source}/photos/{name.removeprefix('Own/')}.jpg")
        assert row["photograph"] == file.read_bytes()
    ids = [sample_id for row in rows.values() for sample_id in row["foreground_ids"]]
    assert dataset.manifest.samples == len(ids)
    foregrounds_of_pairs = {name.rpartition("_")[0] for name in rows_of(pairs)}
    assert len(foregrounds_of_pairs & set(ids)) >= 0.7 * len(foregrounds_of_pairs)
    splits = {name: row["splits"] for name, row in rows.items()}
    for name, row in rows_of(pairs).items():
        photograph = name.rsplit("_", 2)[0]
        assert splits.get(photograph, row["splits"]) == row["splits"]

    spec = StreamSpec(dataset, batch_size=len(ids), size=64)
    first, second = read_window(spec, 0, 2, block_rows=len(ids))
    assert sorted(first["id"].tolist()) == sorted(second["id"].tolist()) == sorted(ids)
    assert not np.array_equal(first["composite"], second["composite"])
    assert main(["inspect", str(kept), "--verify", "--contact-sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 0

    digest = dataset.manifest.digest
    assert main(command_line) == 0
    assert "is finished" in capsys.readouterr().out
    assert main(command(source, str(tmp_path / "again"), *command_line[-4:])) == 0
    assert Dataset.open(str(tmp_path / "again")).manifest.digest == digest
    (kept / "colors.parquet").write_bytes(b"another")
    assert main(["inspect", str(kept), "--verify", "--no-contact-sheet"]) == 1
    assert "another checksum than the manifest says" in capsys.readouterr().out


def test_regions_are_found_where_there_are_no_masks(folder: Path, tmp_path: Path) -> None:
    destination = str(tmp_path / "auto")
    words = ["--photos", f"{folder}/photos", "--masks", "auto", "--dest", destination]
    command_line = ["compose-real", *words, "--per-mask", "2", "--layout", "photographs"]
    assert main([*command_line, "--max-rejected", "0.5"]) == 0
    rows = rows_of(destination)
    assert len(rows) >= 3
    for row in rows.values():
        for name, mask in zip(row["foreground_ids"], row["foreground_masks"], strict=True):
            assert name.startswith("photos/")
            assert decode_mask(mask).shape == (row["height"], row["width"])
    assert not (tmp_path / "auto/_parts").exists()


def test_photographs_without_any_region_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    for name, level in (("dark", 40), ("light", 200)):
        picture = np.full((90, 120, 3), level, np.uint8)
        (tmp_path / f"photos/{name}.jpg").write_bytes(encode_jpeg(picture))
    words = ["--photos", f"{tmp_path}/photos", "--masks", "auto", "--dest", str(tmp_path / "out")]
    assert main(["compose-real", *words, "--per-mask", "1"]) == 1
    assert "no region found, in none of 2 photographs" in capsys.readouterr().err
    assert rejected_of(str(tmp_path / "out")) == dict.fromkeys(("dark.jpg", "light.jpg"), "no region found")


def test_wrong_requests_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = str(tmp_path / "out")
    for more, message in {
        ("--per-mask", "0"): "--per-mask is 0",
        ("--test-fraction", "1"): "--test-fraction is 1.0",
        ("--validation-fraction", "0.8"): "leave nothing to train on",
        ("--foreground-ratio", "0.5", "0.1"): "--foreground-ratio is 0.5 0.1",
        ("--masks", f"{folder}/photos"): "expected a folder for each",
    }.items():
        assert main(command(str(folder), destination, *more)) == 2
        assert message in capsys.readouterr().err
    assert main(command(str(tmp_path), destination)) == 1
    assert "no mask there; expected NAME.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_large_photographs_are_shrunk(folder: Path, tmp_path: Path) -> None:
    assert main(command(str(folder), str(tmp_path / "out"), "--max-size", "96")) == 0
    row = next(iter(rows_of(str(tmp_path / "out")).values()))
    sizes = {image_size(row[role]) for role in ("composite", "ground_truth", "foreground_mask")}
    assert sizes == {(72, 96)}
