"""What `charmnet compose-real` refuses before anything is made, and what it tolerates."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.commands.cli import main
from pipelines.commands.compose_real import MAX_REJECTED, rejected_share


def test_one_of_few_masks_may_give_no_composite() -> None:
    for masks in range(2, 100):
        allowed = rejected_share(masks) * masks
        assert allowed >= 1
        assert allowed == pytest.approx(max(1, MAX_REJECTED * masks))
    assert rejected_share(1) < 1


def test_a_folder_without_photographs_has_no_regions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    words = ["--photos", f"{tmp_path}/photos", "--masks", "auto", "--dest", str(tmp_path / "out")]
    assert main(["compose-real", *words, "--per-mask", "1"]) == 1
    assert "no photograph there; expected JPEG" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # so that photographs may still be added
