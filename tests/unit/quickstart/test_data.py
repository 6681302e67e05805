"""Lists of the user's data, and the sheet of examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charmnet.codecs import decode_rgb, encode_png
from charmnet.errors import DataError
from pipelines.quickstart.data import CELL_PIXELS, Examples, Pictures, pictures


def test_splits_are_named_by_the_lists(tmp_path: Path) -> None:
    for name in ("IHD_train", "IHD_test"):
        (tmp_path / f"{name}.txt").write_text("")
    found = pictures(tmp_path, str(tmp_path), None)
    assert found.train_splits == ("IHD_train",)
    assert found.derived_validation_splits == ("IHD_validation",)
    assert found.validation_split({"IHD_train", "IHD_validation", "IHD_test"}) == "IHD_validation"
    assert found.validation_split({"IHD_train", "IHD_test"}) == "IHD_test"  # there is no other
    (tmp_path / "IHD_validation.txt").write_text("")
    found = pictures(tmp_path, str(tmp_path), None)
    assert found.derived_validation_splits == ()
    assert found.validation_split({"IHD_train", "IHD_validation", "IHD_test"}) == "IHD_validation"
    assert [path.stem for path in found.real_lists] == ["IHD_train", "IHD_validation", "IHD_test"]
    (tmp_path / "IHD_test.txt").unlink()
    with pytest.raises(DataError, match=r"no list there; expected a file named \*test\*\.txt"):
        pictures(tmp_path, str(tmp_path), None)


def test_photographs_have_the_splits_of_compose_real(tmp_path: Path) -> None:
    own = Pictures(tmp_path, None)
    assert (own.train_splits, own.evaluation_splits) == (("train",), ("test",))
    assert own.derived_validation_splits == ()
    assert own.validation_split({"train", "validation", "test"}) == "validation"


def test_the_sheet_has_a_row_for_each_example(tmp_path: Path) -> None:
    examples = Examples(tmp_path)
    for folder in (examples.inputs, examples.harmonized, examples.ground_truths):
        folder.mkdir()
    colors = {"composite": (200, 0, 0), "harmonized": (0, 200, 0), "ground_truth": (0, 0, 200)}
    pixels = {name: np.full((90, 120, 3), color, np.uint8) for name, color in colors.items()}
    for number in range(6):
        name = f"{number:02d}"
        (examples.inputs / f"{name}.png").write_bytes(encode_png(pixels["composite"]))
        (examples.inputs / f"{name}.mask.png").write_bytes(encode_png(np.full((90, 120), 255, np.uint8)))
        (examples.ground_truths / f"{name}.png").write_bytes(encode_png(pixels["ground_truth"]))
    assert [path.stem for path in examples.composites] == [f"{number:02d}" for number in range(6)]
    assert not examples.are_harmonized
    for path in examples.composites:
        (examples.harmonized / path.name).write_bytes(encode_png(pixels["harmonized"]))
    assert examples.are_harmonized

    examples.write_sheet(tmp_path / "sheet.jpg")
    sheet = decode_rgb((tmp_path / "sheet.jpg").read_bytes()).astype(int)
    height, width = CELL_PIXELS
    assert sheet.shape == (5 * height, 2 * 4 * width, 3)
    row = [sheet[height // 2, column * width + width // 2] for column in range(4)]
    expected = [colors["composite"], (255, 255, 255), colors["harmonized"], colors["ground_truth"]]
    assert np.abs(np.array(row) - np.array(expected)).max() < 8
    assert np.abs(sheet[height // 2, 4 * width + width // 2] - colors["composite"]).max() < 8  # the sixth
    assert sheet[-height:, 4 * width :].min() > 240  # nothing in the tenth place
