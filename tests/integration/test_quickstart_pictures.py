"""The pictures that the quickstart makes: photographs in foreign colours, renderings in ten conditions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from charmnet.images import decode_mask, decode_rgb
from charmnet.vocabulary import CaptureCondition
from pipelines import photographs, quickstart_data
from pipelines.rendering.plain_scene import PlainScene, write_scenes


@pytest.fixture(scope="module")
def real_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "VIEWS", 1)
        quickstart_data.make_photographs(folder)
    return folder


def _listed(folder: Path, split: str) -> list[Path]:
    return [folder / line for line in (folder / f"{split}.txt").read_text().splitlines()]


def test_composites_differ_from_their_photographs_in_the_foreground_only(real_set: Path) -> None:
    composites = _listed(real_set, "train")
    assert len(composites) >= 12
    for path in composites:
        mask_name, view = path.stem.rpartition("_")[0], path.stem.split("_")[0]
        composite = decode_rgb(path.read_bytes()).astype(float)
        mask = decode_mask((path.parents[1] / "masks" / f"{mask_name}.png").read_bytes())
        photograph = decode_rgb((path.parents[1] / "real_images" / f"{view}.jpg").read_bytes())
        error = np.square(composite - photograph).mean(axis=2)
        far = cv2.dilate(mask, np.ones((17, 17), np.uint8)) == 0  # JPEG blocks at the edge hold both
        assert 0.02 < mask.mean() < 0.45
        assert 60 < error[mask > 0].mean() < 4000
        assert error[far].mean() < 1


def test_no_photograph_stands_in_both_splits(real_set: Path) -> None:
    names = [{path.stem.split("-")[0] for path in _listed(real_set, split)} for split in ("train", "test")]
    assert all(names)
    assert not names[0] & names[1]


def test_light_is_what_the_condition_says() -> None:
    scene = PlainScene(seed=5, width=48, height=32)
    pictures = {condition: scene.render(condition).astype(float) for condition in CaptureCondition}
    brightness = {condition: picture.mean() for condition, picture in pictures.items()}
    warmth = {
        condition: picture[..., 0].mean() / picture[..., 2].mean() for condition, picture in pictures.items()
    }
    assert min(brightness, key=brightness.get) is CaptureCondition.NIGHT
    assert brightness[CaptureCondition.NIGHT] < 0.4 * brightness[CaptureCondition.NOON_CLEAR]
    assert max(warmth, key=warmth.get) is CaptureCondition.SUNRISE_SUNSET_CLEAR


def test_scenes_are_written_as_released_and_alike_each_time(tmp_path: Path) -> None:
    scene = PlainScene(seed=0, width=48, height=32)
    write_scenes(tmp_path, [scene])
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    pictures = [f"SFigure/real_images/001-{number:02d}.jpg" for number in range(1, 11)]
    assert files == ["SFigure/masks/001.png", *pictures]
    mask = decode_mask((tmp_path / files[0]).read_bytes())
    assert 0.02 < mask.mean() < 0.4
    assert cv2.connectedComponents(mask)[0] == 2  # one figure and what is around it
    assert (scene.foreground_mask() == mask).all()
