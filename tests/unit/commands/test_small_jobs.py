"""Small jobs are done without a cluster (which the guard of unit tests would refuse to start)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.methods import CharmNetMethod
from charmnet.weights import save_checkpoint
from pipelines.commands.cli import main
from pipelines.harmonization.files import harmonize_file
from pipelines.runtime.cluster import works_in_process
from pipelines.runtime.storage import Location
from tests.factories import foreground, make_iharmony4, photograph


def test_few_pictures_are_harmonized_in_this_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, size = np.random.default_rng(0), (90, 120)
    method = CharmNetMethod(width=4, seed=0)
    save_checkpoint(tmp_path / "model", method, {"step": 1})
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (source / f"{name}.jpg").write_bytes(encode_jpeg(photograph(rng, size)))
        (source / f"{name}.mask.png").write_bytes(encode_png(foreground(rng, size) * np.uint8(255)))
    (source / "._a.jpg").write_bytes(b"attributes")
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX" / "._a.jpg").write_bytes(b"attributes")
    (tmp_path / "elsewhere").symlink_to(source / "deep")
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    command = ["harmonize", "--model", str(tmp_path / "model"), "--source", str(source)]
    assert main([*command, "--dest", str(tmp_path / "out")]) == 0
    assert "3 harmonized, 0 were there, 0 failed" in capsys.readouterr().err
    folder = Location.of(source)
    harmonize_file(method, folder / "a.jpg", folder / "a.mask.png", Location.of(tmp_path / "alone.jpg"))
    assert (tmp_path / "out/a.jpg").read_bytes() == (tmp_path / "alone.jpg").read_bytes()
    assert (tmp_path / "out/linked/b.jpg").read_bytes() == (tmp_path / "out/deep/b.jpg").read_bytes()
    (tmp_path / "out" / ".DS_Store").write_bytes(b"looked at")
    assert main([*command, "--dest", str(tmp_path / "out")]) == 0
    assert "0 harmonized, 3 were there" in capsys.readouterr().err


def test_a_small_data_set_is_made_verified_and_evaluated_in_this_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_iharmony4(tmp_path / "in", photographs=2)
    dest = str(tmp_path / "made")
    lists = ["--list", "IHD_train.txt", "--list", "IHD_test.txt"]
    assert main(["shard", "iharmony4", "--source", str(tmp_path / "in"), *lists, "--dest", dest]) == 0
    assert "4 rows" in capsys.readouterr().out
    assert main(["inspect", dest, "--verify", "--contact-sheet", str(tmp_path / "sheet.png")]) == 0
    save_checkpoint(tmp_path / "model", CharmNetMethod(width=4, seed=0), {"step": 1})
    command = ["evaluate", "--model", str(tmp_path / "model"), "--data", dest, "--tracking", "none"]
    assert main([*command, "--dry-run"]) == 0
    assert "runs evaluating in this process" in capsys.readouterr().out
    assert main([*command, "--workers", "1", "--dry-run"]) == 0
    assert "runs evaluating by Ray" in capsys.readouterr().out
    assert main([*command, "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["all"]["count"] == 4
    assert figures["all"]["harmonized"]["mse"] > 0


def test_large_work_and_a_named_cluster_go_to_ray(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert works_in_process(True)
    assert not works_in_process(False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert not works_in_process(True)
