"""`charmnet harmonize` of one picture, in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charmnet import pretrained
from charmnet.arrays import MaskArray, UInt8Array
from charmnet.codecs import decode_rgb, encode_jpeg, encode_png
from charmnet.full_size import harmonize_full_size
from charmnet.methods import CharmNetMethod
from charmnet.weights import save_model
from pipelines.commands.cli import main
from tests.factories import foreground, photograph
from tests.fixtures.pretrained import make_pretrained


def write_picture(folder: Path, foreground_level: int = 255) -> tuple[UInt8Array, MaskArray, list[str]]:
    """Write a picture and its mask; return both, as they are read, and the options that name the files."""
    rng = np.random.default_rng(0)
    picture, mask = photograph(rng, (120, 160)), foreground(rng, (120, 160))
    (folder / "in.jpg").write_bytes(encode_jpeg(picture))
    (folder / "mask.png").write_bytes(encode_png(mask * np.uint8(foreground_level)))
    files = {"--composite": "in.jpg", "--mask": "mask.png", "--out": "new/out.png"}
    options = [part for flag, name in files.items() for part in (flag, str(folder / name))]
    return decode_rgb((folder / "in.jpg").read_bytes()), mask, options


def test_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, mask, options = write_picture(tmp_path, foreground_level=254)
    save_model(tmp_path / "model", CharmNetMethod(width=8, seed=0), {"step": 1})
    command = ["harmonize", "--model", str(tmp_path / "model"), *options]
    assert main(command) == 0
    assert "neither 0 nor 255" in capsys.readouterr().err
    result = decode_rgb((tmp_path / "new/out.png").read_bytes())
    assert np.array_equal(result[mask == 0], picture[mask == 0])
    assert not np.array_equal(result, picture)
    assert main([*command, "--background"]) == 0
    changed = decode_rgb((tmp_path / "new/out.png").read_bytes())
    assert not np.array_equal(changed[mask == 0], picture[mask == 0])
    assert main([*command[:-1], str(tmp_path / "out.gif")]) == 2
    assert main(command[:-2]) == 2


def test_a_model_of_the_package_harmonizes_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method = make_pretrained(tmp_path / "models", "tiny")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "models")
    picture, mask, options = write_picture(tmp_path)
    assert main(["harmonize", "--model", "charmnet://tiny", *options]) == 0
    result = decode_rgb((tmp_path / "new/out.png").read_bytes())
    assert np.array_equal(result, harmonize_full_size(method, picture, mask))
    assert np.array_equal(result[mask == 0], picture[mask == 0])
    assert not np.array_equal(result, picture)

    assert main(["harmonize", "--model", "charmnet://none", *options]) == 2
    assert "no model of this name comes with the package; expected one of tiny" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"head": "affine"}, {"paste": True}])
def test_networks_that_paste_cannot_change_the_background(
    changes: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, options = write_picture(tmp_path)
    save_model(tmp_path / "model", CharmNetMethod(width=8, seed=0, **changes), {"step": 1})
    assert main(["harmonize", "--model", str(tmp_path / "model"), *options, "--background"]) == 2
    assert "leave out --background" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_strength_and_feather_are_those_of_the_library(tmp_path: Path) -> None:
    picture, mask, options = write_picture(tmp_path)
    method = CharmNetMethod(width=8, seed=0)
    save_model(tmp_path / "model", method, {"step": 1})
    command = ["harmonize", "--model", str(tmp_path / "model"), *options]
    assert main([*command, "--strength", "0.4", "--feather", "5"]) == 0
    result = decode_rgb((tmp_path / "new/out.png").read_bytes())
    assert np.array_equal(result, harmonize_full_size(method, picture, mask, strength=0.4, feather=5))
    assert not np.array_equal(result, harmonize_full_size(method, picture, mask, strength=0.4))
    assert main([*command, "--strength", "40"]) == 2


def test_many_pictures_share_a_mask_or_have_theirs_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, mask, _ = write_picture(tmp_path)
    method = CharmNetMethod(width=8, seed=0)
    save_model(tmp_path / "model", method, {"step": 1})
    source, masks = tmp_path / "in", tmp_path / "in/masks"
    masks.mkdir(parents=True)
    for name in ("frame_1.png", "frame_2.png"):
        (source / name).write_bytes(encode_png(picture))
    (masks / "mask_frame.png").write_bytes(encode_png(mask * np.uint8(255)))
    expected = harmonize_full_size(method, picture, mask, strength=0.5)
    command = ["harmonize", "--model", str(tmp_path / "model"), "--source", str(source), "--strength", "0.5"]
    for number, chosen in enumerate((["--masks", str(masks)], ["--mask", str(tmp_path / "mask.png")])):
        dest = tmp_path / f"out{number}"
        if number:
            (masks / "mask_frame.png").unlink()
        assert main([*command, *chosen, "--dest", str(dest)]) == 0
        for name in ("frame_1.png", "frame_2.png"):
            assert np.array_equal(decode_rgb((dest / name).read_bytes()), expected)
    capsys.readouterr()
    again = [*command, "--mask", str(tmp_path / "mask.png"), "--dest", str(dest)]
    assert main(again) == 0
    assert "2 were there" in capsys.readouterr().err
    assert main([*again, "--feather", "2"]) == 1
    assert "results of other weights, masks or options" in capsys.readouterr().err
    assert main([*again, "--masks", str(masks)]) == 2
    for holds_the_source in (source, tmp_path):
        assert main([*command, "--masks", str(holds_the_source), "--dest", str(dest)]) == 2
