"""Weights on disk: exact, strict, never unpickled."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from charmnet.errors import WeightsError
from charmnet.methods import CharmNetMethod, IDIHMethod
from charmnet.released_weights import load_released, save_released
from charmnet.weights import (
    CHECKPOINT_FILE,
    MODEL_FILE,
    OPTIMIZER_FILE,
    load_checkpoint,
    load_into,
    save_checkpoint,
    save_model,
)
from tests.golden_support import ruled_batches


@pytest.fixture(scope="module")
def trained() -> CharmNetMethod:
    method = CharmNetMethod(width=8, learning_rate=3e-4, domain_statistics=True, seed=0)
    method.scale_learning_rates(1 / 3)
    method.update(ruled_batches(torch.float32))
    return method


@pytest.fixture(scope="module")
def saved(trained: CharmNetMethod, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder, trained, {"step": 1, "seed": 7})
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def assert_same(first: Any, second: Any) -> None:
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second
        assert type(first) is type(second)


def test_a_checkpoint_goes_on_to_the_bit(trained: CharmNetMethod, saved: Path) -> None:
    again, metadata = load_checkpoint(saved)
    assert metadata == {"step": 1, "seed": 7}
    assert again.options == trained.options
    assert_same(again.state_dict(), trained.state_dict())
    batches = ruled_batches(torch.float32)
    twin = CharmNetMethod(**trained.arguments)
    load_into(saved, twin)
    never_saved = deepcopy(trained)
    expected = never_saved.update(batches)
    for loaded in (again, twin):
        assert_same(loaded.update(batches), expected)
        assert_same(loaded.state_dict(), never_saved.state_dict())


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_method_that_never_stepped_is_saved_too(tmp_path: Path, precision: str) -> None:
    method = IDIHMethod(width=8, precision=precision)
    save_checkpoint(tmp_path, method, {})
    again, _ = load_checkpoint(tmp_path)
    assert_same(again.state_dict(), method.state_dict())


def test_a_model_without_optimizers_is_applied_but_not_trained_further(
    trained: CharmNetMethod, tmp_path: Path
) -> None:
    save_model(tmp_path, trained, {"step": 1})
    assert {path.name for path in tmp_path.iterdir()} == {MODEL_FILE, CHECKPOINT_FILE}
    fresh = CharmNetMethod(**trained.arguments)
    save_model(tmp_path / "fresh", fresh, {})
    for method in (fresh, load_checkpoint(tmp_path)[0], load_checkpoint(tmp_path / "fresh")[0]):
        assert "optimizers" not in vars(method), "they take torch a second to make"
    again, metadata = load_checkpoint(tmp_path)
    assert metadata == {"step": 1}
    assert_same(again.state_dict()["modules"], trained.state_dict()["modules"])
    assert_same(
        again.state_dict()["optimizers"], CharmNetMethod(**trained.arguments).state_dict()["optimizers"]
    )
    with pytest.raises(WeightsError, match=f"{tmp_path} is a model without optimizers.*--init"):
        load_into(tmp_path, CharmNetMethod(**trained.arguments))


@pytest.mark.parametrize("name", [MODEL_FILE, OPTIMIZER_FILE, CHECKPOINT_FILE])
@pytest.mark.parametrize("harm", ["missing", "torn", "changed"])
def test_a_file_that_was_harmed_is_named(copy: Path, name: str, harm: str) -> None:
    path = copy / name
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    expected = {"missing": "cannot be read", "torn": "torn"}.get(harm, "SHA-256|JSON|not a checkpoint")
    with pytest.raises(WeightsError, match=f"{name}.*({expected})"):
        load_checkpoint(copy)


def test_a_checkpoint_is_refused_by_what_it_does_not_fit(saved: Path, copy: Path) -> None:
    with pytest.raises(WeightsError, match="checkpoint of charmnet, not of idih"):
        load_into(saved, IDIHMethod(width=8))
    with pytest.raises(WeightsError, match="wrong shape: render_enc"):
        load_into(saved, CharmNetMethod(width=12, domain_statistics=True))
    with pytest.raises(WeightsError, match=r"unexpected: deconv_blocks.*rendered"):
        load_into(saved, CharmNetMethod(width=8))
    description = json.loads((copy / CHECKPOINT_FILE).read_text())
    description["options"]["depth"] = 3
    (copy / CHECKPOINT_FILE).write_text(json.dumps(description))
    with pytest.raises(WeightsError, match=r"checkpoint\.json.*no field depth"):
        load_checkpoint(copy)


def test_released_files_come_back_as_they_went(trained: CharmNetMethod, tmp_path: Path) -> None:
    save_released(trained, tmp_path, epoch="20")
    assert {path.name for path in tmp_path.iterdir()} == {f"20_net_{n}.pth" for n in ("G", "D", "SC1", "SC2")}
    states = load_released(tmp_path, epoch="20")
    assert_same(states, trained.released_state_dicts())
    again = CharmNetMethod.from_released(states)
    batch = next(iter(ruled_batches(torch.float32).values()))
    inputs = batch.composite, batch.foreground_mask
    # The real domain's statistics are what the released layout holds.
    assert torch.equal(again.harmonize(*inputs), trained.harmonize(*inputs))


class Harmful:
    """Code that a malicious file would run when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("was_run"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not weights", "safe to read"),
        ("cos\nsystem\n", "safe to read"),
        (torch.zeros(1), "mapping.*Tensor"),
        ({3: torch.zeros(1)}, "mapping.*at 3"),
        (Harmful(), "safe to read: Unsupported global: GLOBAL"),
        ([torch.zeros(1)], "mapping"),
        ({"net.0.weight": 3}, "mapping"),
        ({"net.0.weight": torch.zeros(1)}, "missing: net.0.bias.*wrong shape: net.0.weight"),
    ],
    ids=["text", "pickled text", "tensor", "key", "code", "list", "number", "shape"],
)
def test_released_files_that_do_not_fit_are_named(
    trained: CharmNetMethod, tmp_path: Path, content: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_released(trained, tmp_path)
    path = tmp_path / "latest_net_D.pth"
    if isinstance(content, str):
        path.write_text(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=f"latest_net_D.pth.*({message})"):
        load_released(tmp_path)
    assert not (tmp_path / "was_run").exists()


def test_a_released_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"latest_net_G\.pth cannot be read"):
        load_released(tmp_path)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(2), {"real_dec.deconv_blocks.x": torch.zeros(1)}])
def test_a_generator_of_another_kind_is_named(
    trained: CharmNetMethod, tmp_path: Path, content: object
) -> None:
    save_released(trained, tmp_path)
    torch.save(content, tmp_path / "latest_net_G.pth")
    with pytest.raises(WeightsError, match=r"latest_net_G\.pth"):
        load_released(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"files": 3},
        {"files": {MODEL_FILE: 3, OPTIMIZER_FILE: {}}},
        {"files": {MODEL_FILE: {"bytes": 1, "sha256": ""}}},  # optimizers without their file
        {"method": [1]},
        {"method": None},
        {"options": [1]},
        {"options": {"width": "8"}},
        {"optimizers": {"joint": 3}},
        {"optimizers": {"joint": [{"params": 3}], "discriminator": [{}]}},
        {"optimizers": {"joint": [{"params": [], "betas": 3}], "discriminator": [{}]}},
        {"metadata": 1},
        {"format": None},
    ],
    ids=str,
)
def test_a_description_changed_by_hand_is_named(copy: Path, damage: dict) -> None:
    description = json.loads((copy / CHECKPOINT_FILE).read_text()) | damage
    (copy / CHECKPOINT_FILE).write_text(json.dumps(description))
    with pytest.raises(WeightsError, match=str(copy)):
        load_checkpoint(copy)
