"""Views of the photographs that the quickstart works on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from charmnet.image_limits import image_size
from pipelines.compositing.foregrounds import SplitFractions, find
from pipelines.conversion.lists import Categories
from pipelines.quickstart import photographs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(photographs, "VIEWS", 2)
    photographs.write_photographs(tmp_path)
    return tmp_path


def test_all_views_are_small_pictures_and_the_same_each_time(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = sorted(folder.iterdir())
    assert len(files) == 2 * len(photographs.load_photographs())
    assert all(max(image_size(file.read_bytes())) <= photographs.LONG_SIDE_PIXELS for file in files)
    again = tmp_path_factory.mktemp("again")
    photographs.write_photographs(again)
    assert all((again / file.name).read_bytes() == file.read_bytes() for file in files)


def test_a_photograph_is_in_one_split_with_all_its_views(folder: Path) -> None:
    photos = sorted(path.name for path in folder.iterdir())
    masks = [name.replace(".jpg", "_1.png") for name in photos]
    foregrounds, _ = find(photos, masks, Categories(), SplitFractions(0.1, 0.2), seed=0, views=True)
    splits = {(foreground.photograph, foreground.split) for foreground in foregrounds}
    assert Counter(split for _, split in splits) == {"train": 5, "validation": 1, "test": 2}
