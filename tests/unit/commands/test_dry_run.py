"""`--dry-run` of the commands that write: it refuses what they would refuse, and writes nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.methods import CharmNetMethod
from charmnet.weights import save_checkpoint
from pipelines.commands.cli import main
from pipelines.runtime.rehearsal import place_of_work
from tests.factories import foreground, make_iharmony4, photograph

SIZE = (60, 80)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photographs with masks, a model, a data set, and a temporary folder of the test's own."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    rng = np.random.default_rng(0)
    for name in ("photos", "masks", "pairs"):
        (tmp_path / name).mkdir()
    for name in ("a", "b", "c"):
        picture, mask = encode_jpeg(photograph(rng, SIZE)), encode_png(foreground(rng, SIZE) * np.uint8(255))
        for file, data in (
            (f"photos/{name}.jpg", picture),
            (f"masks/{name}.png", mask),
            (f"pairs/{name}.jpg", picture),
            (f"pairs/{name}.mask.png", mask),
        ):
            (tmp_path / file).write_bytes(data)
    save_checkpoint(tmp_path / "model", CharmNetMethod(width=4, seed=0), {"step": 1})
    make_iharmony4(tmp_path / "released", photographs=2)
    return tmp_path


Commands = dict[str, list[str]]


def commands(folder: Path, dest: Path) -> Commands:
    """Each command with its destination."""
    model = ["--model", str(folder / "model")]
    lists = ["--list", "IHD_train.txt", "--list", "IHD_test.txt"]
    own = ["--photos", str(folder / "photos"), "--masks", str(folder / "masks"), "--per-mask", "2"]
    return {
        "shard": ["shard", "iharmony4", "--source", str(folder / "released"), *lists, "--dest", str(dest)],
        "compose-real": ["compose-real", *own, "--dest", str(dest)],
        "compose-real auto": [
            *("compose-real", "--photos", str(folder / "photos"), "--masks", "auto"),
            *("--per-mask", "2", "--dest", str(dest)),
        ],
        "render": ["render", "--scenes", "1", "--size", "32x32", "--dest", str(dest)],
        "harmonize": ["harmonize", *model, "--source", str(folder / "pairs"), "--dest", str(dest)],
        "harmonize one": [
            *("harmonize", *model, "--composite", str(folder / "pairs/a.jpg")),
            *("--mask", str(folder / "pairs/a.mask.png"), "--out", str(dest / "a.png")),
        ],
        "evaluate": [
            *("evaluate", *model, "--data", str(folder / "data"), "--json", str(dest / "figures.json")),
            *("--tracking", f"sqlite:///{dest}/mlflow.db"),
        ],
    }


@pytest.fixture
def dry(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command dry and gives (exit code, output) once nothing was written."""
    assert main(commands(folder, folder / "data")["shard"]) == 0
    capsys.readouterr()

    def run(*command: str) -> tuple[int, str]:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        folders = sorted(folder.rglob("*"))
        status = main([*command, "--dry-run"])
        assert sorted(folder.rglob("*")) == folders
        assert all(path.read_bytes() == data for path, data in before.items())
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shard", ("4 pairs of the lists", "a new data set: 1 shard", "runs sharding in this process")),
        ("compose-real", ("3 masks", "at most 6 composites", "in this process")),
        ("compose-real auto", ("3 photographs", "finding regions in this process")),
        ("render", ("1 view under ten conditions", "runs rendering by Ray on this machine")),
        ("harmonize", ("3 pictures", "3 results, 0 are there", "runs harmonizing in this process")),
        ("harmonize one", ("a.jpg, with the mask", "a.png: the result")),
        ("evaluate", ("4 images", "figures.json: figures", "records in MLflow at sqlite:///")),
    ],
)
def test_what_would_be_done_is_said(
    name: str, said: tuple[str, ...], folder: Path, dry: Callable[..., tuple[int, str]]
) -> None:
    if name == "render":
        pytest.importorskip("mitsuba")
    status, output = dry(*commands(folder, folder / "new")[name])
    assert status == 0, output
    for part in said:
        assert part in output


@pytest.mark.parametrize(
    "name", ["shard", "compose-real", "compose-real auto", "harmonize", "harmonize one", "evaluate"]
)
def test_a_destination_that_cannot_be_written_is_refused(
    name: str, folder: Path, dry: Callable[..., tuple[int, str]]
) -> None:
    (folder / "file").write_bytes(b"")
    status, output = dry(*commands(folder, folder / "file" / "deep")[name])
    assert status == 1
    assert f"{folder / 'file'} is a file; expected a folder there" in output


def test_what_the_commands_would_refuse_is_refused(folder: Path, dry: Callable[..., tuple[int, str]]) -> None:
    new, data = commands(folder, folder / "new"), str(folder / "data")

    def refuses(said: str, *command: str) -> None:
        status, output = dry(*command)
        assert (status in (1, 2), said in output) == (True, True), output

    (folder / "released" / "wrong.txt").write_text("HCOCO/composite_images/none_1_1.jpg\n../x\n")
    refuses("such as:\n  ../x", *new["shard"], "--list", "wrong.txt")
    refuses("holds another data set", *new["compose-real"][:-1], data)
    refuses("and no data set", *new["shard"][:-1], str(folder / "photos"))
    refuses("picks no image", *new["evaluate"], "--select", "split == 'none'")
    refuses("model", *new["harmonize"], "--model", str(folder / "none"))
    refuses("no mask there", *new["compose-real"], "--masks", str(folder / "released" / "none"))
    refuses("no photograph there", *new["compose-real auto"], "--photos", str(folder / "released" / "none"))
    (folder / "black.png").write_bytes(encode_png(np.zeros(SIZE, np.uint8)))
    (folder / "masks" / "nobody.png").write_bytes((folder / "masks" / "a.png").read_bytes())
    refuses("1 of 4 rejected", *new["compose-real"], "--max-rejected", "0.1")
    refuses("no foreground", *new["harmonize one"], "--mask", str(folder / "black.png"))
    refuses("holds something else", *new["harmonize"][:-1], data)


def test_a_ray_of_its_own_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert place_of_work().startswith("by Ray on this machine")
