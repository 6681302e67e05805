"""Exported models, run by ONNX Runtime in a process that has neither torch nor this project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from charmnet.arrays import UInt8Array
from charmnet.augment import resize
from charmnet.codecs import decode_rgb, encode_png
from charmnet.export import PortableNetwork, _resampled, export_model
from charmnet.full_size import harmonize_full_size
from charmnet.methods import CharmNetMethod, HarmonizationMethod, IDIHMethod
from charmnet.model_card import CardFacts, card_text
from pipelines.commands.cli import main
from pipelines.runs.models import load_model
from tests.factories import foreground, photograph

BLOCKED = ("torch", "charmnet", "pipelines", "ray", "mlflow")


def small_model(head: str) -> HarmonizationMethod:
    if head == "pixels":
        return CharmNetMethod(width=8, seed=0)
    method = IDIHMethod(width=8, seed=0, head="affine", size=96)
    decoder = method.modules["generator"].real_dec
    with torch.no_grad():
        decoder.whole_map.bias[3::4] = 0.3
        decoder.cell_maps.weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    return method


@pytest.mark.parametrize("sides", [(100, 300), (96, 96), (480, 644), (40, 200)])
def test_pictures_are_made_small_as_the_library_does(sides: tuple[int, int]) -> None:
    picture = photograph(np.random.default_rng(0), sides)
    values = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    for size in (96, 256):
        ours = _resampled(values, size)[0].permute(1, 2, 0).numpy()
        assert np.abs(ours - resize(picture, size)).max() < 1.1


@pytest.mark.parametrize("head", ["pixels", "affine"])
def test_the_portable_network_gives_what_the_library_does(head: str) -> None:
    method = small_model(head)
    sides = (180, 230) if head == "affine" else (256, 256)
    rng = np.random.default_rng(1)
    picture, mask = photograph(rng, sides), foreground(rng, sides)
    inputs = (
        torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255,
        torch.from_numpy(mask)[None, None],
    )
    with torch.no_grad():
        result = PortableNetwork(method)(inputs[0], inputs[1].float())[0].permute(1, 2, 0).numpy() * 255
    if head == "affine":
        expected = harmonize_full_size(method, picture, mask)
        assert np.abs(expected.astype(int) - picture)[mask == 1].mean() > 5
    else:
        harmonized = method.harmonize(*method.network_inputs(torch.from_numpy(picture)[None], inputs[1][0]))
        expected = method.to_unit_range(harmonized).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(result - expected).max() < 1


def run_card(folder: Path, picture: UInt8Array, mask: UInt8Array) -> UInt8Array:
    """Run the card's lines for ONNX as they stand, and return the picture that they write."""
    (code,) = [
        c for c in re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S) if "onnx" in c
    ]
    assert len(code.splitlines()) <= 10
    (folder / "composite.png").write_bytes(encode_png(picture))
    (folder / "mask.png").write_bytes(encode_png(mask * np.uint8(255)))
    guard = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n"
    check = "\nassert not any(sys.modules.get(name) for name in ('torch', 'charmnet'))\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", guard + code + check],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return decode_rgb((folder / "harmonized.png").read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("head", ["pixels", "affine"])
def test_an_exported_model_runs_without_torch_and_comes_back(head: str, tmp_path: Path) -> None:
    method = small_model(head)
    export_model(tmp_path / "model", method, ["safetensors"], {})
    figures = {"all": {name: {"mse": 9.5, "fmse": None} for name in ("composite", "harmonized")}, "split": {}}
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    command = [
        "export",
        "--model",
        str(tmp_path / "model"),
        "--to",
        "onnx",
        "pt2",
        "--dest",
        str(tmp_path / "out"),
    ]
    assert main([*command, "--license", "cc-by-4.0", "--figures", str(tmp_path / "figures.json")]) == 0
    assert main(command) == 1  # the folder holds something
    card = (tmp_path / "out/README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["license"], front["pipeline_tag"]) == ("cc-by-4.0", "image-to-image")
    assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "mse", "value": 9.5}]
    again = load_model(str(tmp_path / "out"))
    program = torch.export.load(tmp_path / "out/model.pt2").module()
    for sides in ((300, 420), (70, 500)) if head == "affine" else ((256, 256),):
        rng = np.random.default_rng(2)
        picture, mask = photograph(rng, sides), foreground(rng, sides)
        composite = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        inputs = composite, torch.from_numpy(mask)[None, None].float()
        with torch.no_grad():
            expected = PortableNetwork(again)(*inputs)
            assert torch.allclose(program(*inputs), expected, atol=1e-5)
        grey_levels = expected[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(run_card(tmp_path / "out", picture, mask) - grey_levels).max() <= 0.51


def test_a_card_without_facts_says_so() -> None:
    card = card_text(small_model("affine"), ["safetensors"], CardFacts("mine"))
    assert "model-index" not in card
    assert card.count("```python") == 1
    assert "Not known." in card
    assert "None given." in card
    assert yaml.safe_load(card.split("---")[1])["license"] == "unknown"


def test_missing_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.commands.export.find_spec", lambda name: None)
    assert main(["export", "--model", "none", "--to", "onnx", "--dest", str(tmp_path / "out")]) == 2
    assert "pip install 'charmnet[export]'" in capsys.readouterr().err
