"""Models that the package ships, and a made one in their place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from charmnet import pretrained
from charmnet.errors import WeightsError
from charmnet.methods import CharmNetMethod
from charmnet.pretrained import load_pretrained, pretrained_names
from charmnet.weights import CHECKPOINT_FILE, MODEL_FILE, load_checkpoint
from tests.fixtures.pretrained import make_pretrained

ROOT = Path(__file__).parents[3]
MAX_BYTES = 3_000_000
FILES = {CHECKPOINT_FILE, MODEL_FILE, "README.md"}


def test_a_model_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = {name: make_pretrained(tmp_path, name, seed) for seed, name in enumerate(("tiny", "other"))}
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    assert pretrained_names() == ["other", "tiny"]
    for name, method in made.items():
        loaded = load_pretrained(name)
        assert loaded.options == method.options
        for key, tensor in method.modules["generator"].state_dict().items():
            assert torch.equal(loaded.modules["generator"].state_dict()[key], tensor)


@pytest.mark.parametrize("name", ["large", "", "..", "../tiny", "tiny/.", "/etc"])
def test_another_name_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="comes with the package; there is none"):
        load_pretrained(name)
    make_pretrained(tmp_path, "tiny")
    with pytest.raises(ValueError, match=r"comes with the package; expected one of tiny$"):
        load_pretrained(name)


def test_damaged_files_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_pretrained(tmp_path, "tiny")
    (tmp_path / "tiny" / MODEL_FILE).write_bytes(b"torn")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=r"tiny/model\.safetensors has 4 bytes"):
        load_pretrained("tiny")


def test_a_wheel_holds_every_file_of_a_model(tmp_path: Path) -> None:
    make_pretrained(tmp_path, "tiny")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["charmnet.pretrained"]
    packed = {path for pattern in patterns for path in tmp_path.glob(pattern)}
    assert packed == {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in packed} == FILES


@pytest.mark.skipif(not pretrained_names(), reason="the package ships no model yet")
def test_the_models_of_the_package_are_small_and_described() -> None:
    for name in pretrained_names():
        folder = pretrained.FOLDER / name
        assert {path.name for path in folder.iterdir()} <= {*FILES, "photographs.tsv"}
        assert (folder / MODEL_FILE).stat().st_size <= MAX_BYTES
        assert f"charmnet://{name}" in (folder / "README.md").read_text()
        method, metadata = load_checkpoint(folder)
        assert isinstance(method, CharmNetMethod)
        assert "/" not in str(metadata)  # no paths of the machine that it was trained on
        weights = [
            t for m in method.modules.values() for t in m.state_dict().values() if t.is_floating_point()
        ]
        assert {tensor.dtype for tensor in weights} == {torch.float32}
        assert all(tensor.isfinite().all() for tensor in weights)
