"""`charmnet translate` as a user calls it: scenes in a real store, on a real Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charmnet.codecs import decode_rgb
from charmnet.methods import CycleGANMethod, IDIHMethod, Method
from charmnet.weights import save_model
from pipelines.commands.cli import main
from pipelines.conversion.build import DatasetBuild
from pipelines.ingest.stream import StreamSpec
from pipelines.ingest.window import read_window
from pipelines.runs.models import load_translation_model
from pipelines.runtime.storage import Location
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row
from pipelines.translation.scenes import SceneTranslation
from tests.fixtures.object_store import ObjectStoreForTests
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset

pytestmark = pytest.mark.usefixtures("ray_cluster")


def model(folder: Path, method: Method) -> str:
    save_model(folder, method, {"step": 1})
    return str(folder)


def rows_of(path: str | Location) -> list[Row]:
    dataset = Dataset.open(path)
    tables = [dataset.read_row_group(shard, group) for shard, group, _ in dataset.manifest.groups()]
    return [row for table in tables for row in table.to_pylist()]


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> str:
    return model(tmp_path_factory.mktemp("models") / "small", CycleGANMethod(width=4, blocks=1, seed=1))


@pytest.fixture(scope="module")
def scenes(s3: ObjectStoreForTests) -> str:
    """URI of eight scenes in two shards, of which the first has two row groups."""
    location = Location.of(f"{s3.prefix()}/scenes")
    write_dataset(location, scene_rows(8, size=(30, 30)), rows_per_shard=7)
    return str(location)


@pytest.fixture(scope="module")
def translated(scenes: str, translator: str, s3: ObjectStoreForTests, ray_cluster: None) -> str:
    dest = f"{s3.prefix()}/translated"
    assert main(["translate", "--model", translator, "--source", scenes, "--dest", dest]) == 0
    return dest


def test_scenes_are_translated_and_backgrounds_stay_equal(
    scenes: str, translator: str, translated: str
) -> None:
    assert Location.of(translated).walk_files() == ["manifest.json", *shards()]
    before, after = rows_of(scenes), rows_of(translated)
    assert [row["id"] for row in after] == [row["id"] for row in before]
    for scene, other in zip(before, after, strict=True):
        assert other["foreground_mask"] == scene["foreground_mask"]
        for original, picture in zip(scene["images"], other["images"], strict=True):
            assert decode_rgb(picture).shape == (30, 30, 3)
            assert picture != original
    translation = SceneTranslation(load_translation_model(translator), Dataset.open(scenes))
    assert Dataset.open(translated).manifest.source == json.loads(json.dumps(translation.identity))
    # What training reads: the foreground of one translated picture before the background of another.
    spec = StreamSpec(Dataset.open(translated), batch_size=8, size=30, augmentation="none")
    for block in read_window(spec, 0, 10, 8):
        background = block["foreground_mask"] == 0
        assert np.array_equal(block["composite"][background], block["ground_truth"][background])
        assert not np.array_equal(block["composite"], block["ground_truth"])


def test_a_finished_one_only_shows_its_sheet(
    scenes: str, translator: str, translated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SceneTranslation, "write", None)  # nothing is to be made
    sheet = tmp_path / "sheet.png"
    command = ["translate", "--model", translator, "--source", scenes, "--dest", translated]
    assert main([*command, "--contact-sheet", str(sheet)]) == 0
    assert decode_rgb(sheet.read_bytes()).shape[1] > 8 * 256


def test_an_interrupted_one_goes_on_with_what_is_missing(
    scenes: str, translator: str, translated: str, s3: ObjectStoreForTests, tmp_path: Path
) -> None:
    source, dest = Dataset.open(scenes), Location.of(f"{s3.prefix()}/interrupted")
    translation = SceneTranslation(load_translation_model(translator), source)
    destination = translation.destination(dest)
    destination.start()
    pieces = DatasetBuild(destination.parts / "scenes", destination.identity)
    pieces.start()
    pieces.write_part(0, translation.task(0, 0))
    pieces.write_part(1, replace(translation, quality=5).task(0, 1))  # to be told from what is made now
    command = ["translate", "--model", translator, "--source", scenes, "--dest", str(dest)]
    other = model(tmp_path / "other", CycleGANMethod(width=4, blocks=1, seed=2))
    assert main([*command[:2], other, *command[3:]]) == 1, "another translator's pieces are not mixed in"
    assert main(command) == 0
    assert dest.walk_files() == ["manifest.json", *shards()]
    for number, (expected, row) in enumerate(zip(rows_of(translated), rows_of(dest), strict=True)):
        assert (row == expected) is (number != 6), row["id"]


def test_what_cannot_be_translated_is_refused_before_anything_is_written(
    scenes: str, translator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harmonizer = model(tmp_path / "harmonizer", IDIHMethod(width=4))
    write_dataset(Location.of(tmp_path / "pairs"), pair_rows(2), rows_per_shard=2)
    dest = tmp_path / "dest"
    for named, source, status, message in (
        (harmonizer, scenes, 2, "a model of idih, which does not translate; expected one of cyclegan"),
        (translator, str(tmp_path / "pairs"), 1, "its rows are pairs of the real domain"),
        (translator, str(tmp_path / "none"), 1, "no manifest.json there"),
    ):
        command = ["translate", "--model", named, "--source", source, "--dest", str(dest)]
        assert main(command) == status
        assert message in capsys.readouterr().err
        assert not dest.exists()
    assert main(["translate", "--model", translator, "--source", scenes, "--dest", scenes]) == 1
    assert "holds another data set" in capsys.readouterr().err


def shards() -> list[str]:
    return ["part-00000.parquet", "part-00001.parquet"]
