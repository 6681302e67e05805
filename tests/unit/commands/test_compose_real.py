"""What `charmnet compose-real` refuses before anything is made, and what it tolerates."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from charmnet.codecs import encode_jpeg, encode_png
from pipelines.commands.cli import main
from pipelines.commands.compose_real import LAYOUTS, MAX_REJECTED, rejected_share
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from tests.factories import foreground


def test_one_of_few_masks_may_give_no_composite() -> None:
    for masks in range(2, 100):
        allowed = rejected_share(masks) * masks
        assert allowed >= 1
        assert allowed == pytest.approx(max(1, MAX_REJECTED * masks))
    assert rejected_share(1) < 1


def test_the_masks_of_one_of_few_photographs_may_give_none() -> None:
    for masks in range(1, 60):
        for of_one in range(1, masks):
            assert rejected_share(masks, of_one) * masks >= of_one
            assert rejected_share(masks, of_one) * masks < max(of_one, MAX_REJECTED * masks) + 0.01
        assert rejected_share(masks, masks) == MAX_REJECTED


def _folder(tmp_path: Path, photographs: int, unfit: int) -> list[str]:
    """Photographs with two masks each, of which the first `unfit` photographs' cover nothing; the command."""
    rng = np.random.default_rng(0)
    source = cv2.resize(skimage.data.chelsea(), (160, 120), interpolation=cv2.INTER_AREA)
    lights = ((1, 1, 1), (0.7, 0.7, 0.75), (0.85, 0.8, 0.75), (0.75, 0.8, 0.9), (0.9, 0.8, 0.8))
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for number, light in enumerate(lights[:photographs]):
        image = (source * light).astype(np.uint8)
        (tmp_path / f"photos/p{number}.jpg").write_bytes(encode_jpeg(image))
        for mask in (1, 2):
            covered = foreground(rng, (120, 160)) * np.uint8(0 if number < unfit else 255)
            (tmp_path / f"masks/p{number}_{mask}.png").write_bytes(encode_png(covered))
    places = ["--photos", f"{tmp_path}/photos", "--masks", f"{tmp_path}/masks", "--dest", f"{tmp_path}/out"]
    return ["compose-real", *places, "--per-mask", "2"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("photographs", "unfit"), [(3, 0), (3, 1), (5, 1)])
def test_few_photographs_of_which_one_is_unfit_make_a_data_set_in_this_process(
    photographs: int,
    unfit: int,
    layout: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    command = [*_folder(tmp_path, photographs, unfit), "--layout", layout]
    assert main(command) == 0, capsys.readouterr().err
    out = tmp_path / "out"
    lost = (out / "rejected.jsonl").read_text() if unfit else ""
    assert all(f"p0_{mask}.png" in lost for mask in (1, 2)) == bool(unfit)
    if layout == "photographs":
        assert any("train" in stratum.splits for stratum in Manifest.load(Location.of(out)).strata)
    assert main(command) == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize(("photographs", "unfit"), [(1, 0), (2, 1), (3, 2)])
def test_photographs_that_have_no_other_to_take_colours_from_are_told_so(
    photographs: int,
    unfit: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(_folder(tmp_path, photographs, unfit)) == 1
    message = capsys.readouterr().err
    assert "no other photograph" in message or f"{2 * unfit} of {2 * photographs} rejected" in message


def test_a_folder_without_photographs_has_no_regions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    words = ["--photos", f"{tmp_path}/photos", "--masks", "auto", "--dest", str(tmp_path / "out")]
    assert main(["compose-real", *words, "--per-mask", "1"]) == 1
    assert "no photograph there; expected JPEG" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # so that photographs may still be added
