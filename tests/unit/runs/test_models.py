import shutil
from pathlib import Path

import pytest
import torch

from charmnet import pretrained
from charmnet.errors import StorageError, WeightsError
from charmnet.methods import (
    CharmNetMethod,
    CUTMethod,
    CycleGANMethod,
    DoveNetMethod,
    HarmonyTransformerMethod,
    IDIHMethod,
    Method,
    RainNetMethod,
)
from charmnet.methods.dovenet import RegionAdversarialMethod
from charmnet.methods.translation import ReleasedTranslator
from charmnet.released_weights import save_released
from charmnet.weights import save_checkpoint, weights_digest
from pipelines.runs.models import (
    absolute_uri,
    checkpoint_of,
    load_harmonization_model,
    load_model,
    load_translation_model,
    model_name,
)
from pipelines.runtime.storage import Location
from tests.fixtures.pretrained import make_pretrained


def make_method(seed: int) -> CharmNetMethod:
    return CharmNetMethod(width=8, seed=seed)


def same(one: Method, other: Method) -> bool:
    first, second = (method.modules["generator"].state_dict() for method in (one, other))
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for step in (5, 10):
        save_checkpoint(folder / f"checkpoint-{step:09d}", make_method(step), {"step": step})
    save_checkpoint(folder / "best" / "checkpoint-000000007", make_method(7), {"step": 7})
    return folder


def test_a_run_is_its_best_checkpoint_else_its_latest(run_folder: Path) -> None:
    best = run_folder / "best.json"
    assert same(load_model(str(run_folder)), make_method(10))
    best.write_text('{"checkpoint": "best/checkpoint-000000007", "step": 7}')
    try:
        assert same(load_model(str(run_folder)), make_method(7))
    finally:
        best.unlink()


def test_a_checkpoint_is_itself(run_folder: Path) -> None:
    folder = run_folder / "checkpoint-000000005"
    assert checkpoint_of(str(folder)) == Location.of(folder)
    assert same(load_model(str(folder)), make_method(5))


def test_a_model_of_the_package_is_named_and_another_starts_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_pretrained(tmp_path, "tiny")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    for uri in ("charmnet://tiny", "charmnet://tiny/"):
        assert same(load_model(uri), made)
    fresh = CharmNetMethod(**{**made.arguments, "seed": 1})
    fresh.warm_start(load_model("charmnet://tiny"))
    assert all(
        torch.equal(tensor, made.modules[name].state_dict()[key])
        for name, module in fresh.modules.items()
        for key, tensor in module.state_dict().items()
    )
    with pytest.raises(ValueError, match="charmnet://tin: no model of this name"):
        load_model("charmnet://tin")


def test_what_is_wrong_with_a_remote_model_is_told_of_its_own_place(run_folder: Path, tmp_path: Path) -> None:
    remote = Location.of(f"local://{tmp_path}/checkpoint-000000005")  # fetched like one of a bucket
    shutil.copytree(run_folder / remote.name, tmp_path / remote.name)
    assert same(load_model(str(remote)), make_method(5))
    (remote / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(WeightsError, match=rf"^{remote}: model\.safetensors has 4 bytes"):
        load_model(str(remote))
    (remote.parent / "latest_net_G.pth").write_bytes(b"torn")
    with pytest.raises(WeightsError, match=rf"^{remote.parent}: latest_net_G\.pth is not a weights file"):
        load_model(str(remote.parent), inference_only=True)


def test_released_files_are_named_by_folder_prefix_or_file(tmp_path: Path) -> None:
    save_released(make_method(1), tmp_path, "latest")
    save_released(make_method(2), tmp_path, "21")
    assert same(load_model(str(tmp_path)), make_method(1))
    assert same(load_model(str(tmp_path / "21")), make_method(2))
    assert same(load_model(str(tmp_path / "21_net_G.pth")), make_method(2))
    (tmp_path / "latest_net_G.pth").rename(tmp_path / "20_net_G.pth")
    with pytest.raises(StorageError, match="epochs 20, 21"):
        load_model(str(tmp_path))
    with pytest.raises(WeightsError, match="20_net_D"):
        load_model(str(tmp_path / "20"))


def test_what_holds_no_model_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StorageError, match="no model there"):
            load_model(str(path))


def test_to_harmonize_the_released_generator_is_enough(tmp_path: Path) -> None:
    save_released(make_method(1), tmp_path)
    for name in ("D", "SC1", "SC2"):
        (tmp_path / f"latest_net_{name}.pth").unlink()
    for path in (tmp_path, tmp_path / "latest", tmp_path / "latest_net_G.pth"):
        assert same(load_model(str(path), inference_only=True), make_method(1))
    with pytest.raises(WeightsError, match="latest_net_D"):
        load_model(str(tmp_path))
    torch.save({"real_enc.block0.block.0.weight": torch.zeros(3, 4, 4, 4)}, tmp_path / "latest_net_G.pth")
    with pytest.raises(WeightsError, match=r"latest_net_G\.pth: not the released layout"):
        load_model(str(tmp_path), inference_only=True)


@pytest.mark.parametrize("inference_only", [True, False])
def test_a_released_network_of_another_method_is_told_by_its_names(
    tmp_path: Path, inference_only: bool
) -> None:
    method = HarmonyTransformerMethod(width=4, layers=1, seed=0)
    state = method.released_state_dict()
    for name in ("dht.pth", "latest_net_G.pth"):
        torch.save(state, tmp_path / name)
        loaded = load_model(str(tmp_path / name), inference_only=inference_only)
        assert loaded.options == method.options
        assert all(torch.equal(loaded.modules["generator"].state_dict()[key], state[key]) for key in state)


def test_another_pth_file_is_idih(tmp_path: Path) -> None:
    method = IDIHMethod(width=8, seed=3)
    torch.save(method.released_state_dict(), tmp_path / "idih256.pth")
    assert same(load_model(str(tmp_path / "idih256.pth")), method)
    torch.save(make_method(1).released_state_dicts()["D"], tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: not the released layout"):
        load_model(str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    "method", [DoveNetMethod(width=2, norm="instance"), DoveNetMethod(width=2), RainNetMethod(width=2)]
)
def test_released_files_tell_whose_they_are(tmp_path: Path, method: RegionAdversarialMethod) -> None:
    save_released(method, tmp_path)
    loaded = load_model(str(tmp_path))
    assert loaded.options == method.options
    for name, module in method.modules.items():
        expected, got = module.state_dict(), loaded.modules[name].state_dict()
        assert all(torch.equal(got[key], expected[key]) for key in expected), name
    (tmp_path / "latest_net_D.pth").unlink()
    assert same(load_model(str(tmp_path)), method)
    (tmp_path / "latest_net_G.pth").rename(tmp_path / "pretrained.pth")
    assert same(load_model(str(tmp_path / "pretrained.pth")), method)
    state = method.released_state_dicts()["G"]
    torch.save(dict(list(state.items())[:-1]), tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"cut\.pth does not fit .*missing: to_image.bias"):
        load_model(str(tmp_path / "cut.pth"))


@pytest.mark.parametrize("method", [CUTMethod(width=2, blocks=1), CycleGANMethod(width=2, blocks=1)])
def test_released_inferences_are_told_by_their_names(tmp_path: Path, method: ReleasedTranslator) -> None:
    save_released(method, tmp_path)
    (name,) = method.released_inference
    translator = method.released_networks[name]
    loaded = load_translation_model(str(tmp_path / f"latest_net_{name}.pth"))
    assert loaded.options == method.options
    expected, got = method.modules[translator].state_dict(), loaded.modules[translator].state_dict()
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    with pytest.raises(ValueError, match=f"a model of {method.name}, which does not harmonize"):
        load_harmonization_model(str(tmp_path / f"latest_net_{name}.pth"))


def test_networks_beside_a_released_inference_are_read_to_train_on(tmp_path: Path) -> None:
    method = CUTMethod(width=2, blocks=1)
    save_released(method, tmp_path)
    assert weights_digest(load_model(str(tmp_path))) == weights_digest(method)
    assert weights_digest(load_model(str(tmp_path), inference_only=True)) != weights_digest(method)
    torch.save({}, tmp_path / "latest_net_F.pth")
    with pytest.raises(WeightsError, match=r"latest_net_F\.pth does not fit PatchProjection"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("charmnet://small", "small"),
        ("models:/harmonizer/3", "harmonizer/3"),
        ("models:/harmonizer@best", "harmonizer@best"),
        ("s3://bucket/runs/first/", "first"),
    ],
)
def test_models_have_names(uri: str, name: str) -> None:
    assert model_name(uri) == name


@pytest.mark.parametrize("uri", ["charmnet://small", "models:/charmnet/1", "s3://bucket/runs/first"])
def test_uris_that_every_machine_knows_stay(uri: str) -> None:
    assert absolute_uri(uri) == uri


def test_a_relative_path_becomes_one_that_other_processes_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("runs/first") == f"file://{tmp_path}/runs/first"
