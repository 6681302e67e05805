"""Translation of one row group, and what is refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from charmnet.codecs import decode_rgb, encode_jpeg
from charmnet.errors import DataError, WeightsError
from charmnet.vocabulary import Domain
from pipelines.runtime.storage import Location
from pipelines.shards.condition_sheet import CAPTION_WIDTH, GAP, TILE_WIDTH, write_sheet
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset
from pipelines.translation.scenes import SceneTranslation
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset
from tests.toy_methods import ToyTranslator


@pytest.fixture
def source(tmp_path: Path) -> Dataset:
    rows = scene_rows(3, size=(17, 22))
    rows[1]["pairs"] = [{"foreground": 1, "background": 2, "composite_style": [0.0, 1.0, *[0.0] * 8]}]
    return write_dataset(Location.of(tmp_path / "source"), rows, rows_per_shard=2)


def redder(by: float = 0.2) -> ToyTranslator:
    method = ToyTranslator(seed=0)
    with torch.no_grad():
        method.modules["translator"].bias.copy_(torch.tensor([by, 0.0, 0.0]))
    return method


def test_pictures_are_translated_and_nothing_else_changes(source: Dataset, tmp_path: Path) -> None:
    translation = SceneTranslation(redder(), source, quality=100)
    folder = Location.of(tmp_path / "translated")
    shards = [
        translation.task(shard, 0).write(folder, f"part-{shard:05d}.parquet").manifest for shard in (0, 1)
    ]
    Manifest.merged(shards, translation.identity).save(folder)
    translated = Dataset.open(folder)
    for shard in (0, 1):
        before = source.read_row_group(shard, 0).to_pylist()
        after = translated.read_row_group(shard, 0).to_pylist()
        for scene, other in zip(before, after, strict=True):
            assert {k: v for k, v in scene.items() if k != "images"} == {
                k: v for k, v in other.items() if k != "images"
            }
            for original, changed in zip(scene["images"], other["images"], strict=True):
                pixels = decode_rgb(original).astype(int) + np.array([51, 0, 0])
                assert changed == encode_jpeg(pixels.clip(0, 255).astype(np.uint8), 100)
    assert (
        translated.manifest.source["weights_sha256"]
        != SceneTranslation(redder(0.1), source).identity["weights_sha256"]
    )
    sheet = Location.of(tmp_path / "sheet.png")
    write_sheet({"": source, "translated": translated}, sheet, scenes=2)
    with Image.open(str(sheet.local_path)) as picture:
        assert picture.width == CAPTION_WIDTH + 4 * (TILE_WIDTH + GAP)


def test_what_is_no_rendered_scene_is_refused(source: Dataset, tmp_path: Path) -> None:
    pairs = write_dataset(Location.of(tmp_path / "pairs"), pair_rows(2), rows_per_shard=2)
    with pytest.raises(DataError, match="its rows are pairs of the real domain; expected rendered scenes"):
        SceneTranslation(redder(), pairs)
    other = replace(source, manifest=replace(source.manifest, domain=Domain.REAL))
    with pytest.raises(DataError, match="scenes of the real domain"):
        SceneTranslation(redder(), other)


def test_a_translator_gone_wrong_and_a_broken_picture_are_named(source: Dataset, tmp_path: Path) -> None:
    folder = Location.of(tmp_path / "translated")
    with pytest.raises(WeightsError, match="scene SHuman/000: the translator's output holds NaN"):
        SceneTranslation(redder(float("nan")), source).task(0, 0).write(folder, "part.parquet")
    rows = scene_rows(1)
    rows[0]["images"][3] = rows[0]["images"][3][:60]
    broken = write_dataset(Location.of(tmp_path / "broken"), rows, rows_per_shard=1)
    with pytest.raises(DataError, match="broken: scene SHuman/000"):
        SceneTranslation(redder(), broken).task(0, 0).write(folder, "part.parquet")
