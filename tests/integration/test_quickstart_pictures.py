"""The pictures that the quickstart makes of photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from charmnet.codecs import decode_mask, decode_rgb
from pipelines.quickstart import data as quickstart_data
from pipelines.quickstart import photographs


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
