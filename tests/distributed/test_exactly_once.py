"""A run with rows that cannot be decoded, of which one kills the decoder, and with a worker killed."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from charmnet.weights import CHECKPOINT_FILE, MODEL_FILE, OPTIMIZER_FILE
from pipelines.chaos.crashing_decoder import mark_to_crash
from pipelines.commands.cli import main
from pipelines.runtime.retry import wait_until
from pipelines.runtime.storage import Location
from pipelines.tracking.server import connect
from tests.fixtures.object_store import ObjectStoreForTests
from tests.synthetic_datasets import pair_rows, scene_rows, write_dataset


@pytest.fixture(scope="module")
def command(
    s3: ObjectStoreForTests, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., list[str]]]:
    """`charmnet train` of a name on three scenes and 17 pairs: one is cut short, one crashes decoders."""
    data = Location.of(s3.prefix())
    pairs = pair_rows(17, size=(48, 64))
    pairs[5]["composite"] = pairs[5]["composite"][:-30]
    pairs[9]["composite"] = mark_to_crash(pairs[9]["composite"])
    write_dataset(data / "real", pairs, 3)
    write_dataset(data / "rendered", scene_rows(3, size=(48, 64)), 1)
    uris = ("--real", str(data / "real"), "--rendered", str(data / "rendered"), "--storage", str(data))
    fields = ("--recipe", "debug", "pool_row_groups=2", "checkpoint_every=10", "validate_every=0")

    def train(name: str, workers: int, *more: str, tracking: str = "none") -> list[str]:
        named = ("--name", name, "--workers", str(workers), "--tracking", tracking)
        return ["train", *uris, *named, *fields, *more]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARMNET_STATE", str(tmp_path_factory.mktemp("state")))
        yield train


@dataclass(frozen=True)
class Ended:
    """A run's folder, and what its command printed to standard output and to standard error."""

    folder: Location
    out: str
    err: str


def ended(command: list[str], expected: int = 0) -> Ended:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        assert main(command) == expected, err.getvalue()
    folder = Location.of(command[command.index("--storage") + 1]) / command[command.index("--name") + 1]
    return Ended(folder, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def whole(command: Callable[..., list[str]]) -> Ended:
    """40 steps at once, as many broken samples as there are allowed."""
    return ended(command("whole", 2, "steps=40", "max_quarantined=2"))


@pytest.fixture(scope="module")
def stopped(command: Callable[..., list[str]]) -> Ended:
    """Run the command with one broken sample fewer allowed."""
    return ended(command("run", 2, "steps=60", "max_quarantined=1", "--audit"), expected=1)


@pytest.fixture(scope="module")
def killed(stopped: Ended, command: Callable[..., list[str]], mlflow_server: str) -> Ended:
    """Continue the stopped run to 40 steps, with a worker killed on the way."""
    killer = threading.Thread(target=kill_a_worker, args=(stopped.folder / "checkpoint-000000020",))
    killer.start()
    more = ("steps=40", "max_quarantined=2", "--audit")
    run = ended(command("run", 2, *more, tracking=mlflow_server))
    killer.join()
    return run


def kill_a_worker(checkpoint: Location) -> None:
    """Once a checkpoint stands, one of the processes that train is gone."""
    wait_until((checkpoint / CHECKPOINT_FILE).exists, 240, f"no checkpoint {checkpoint}")
    workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in p.name()]
    max(workers, key=lambda process: process.create_time()).send_signal(signal.SIGKILL)


def assert_same_weights(one: Location, other: Location, folder: Path) -> None:
    """To the bit, with Adam's state; running statistics, which training does not use, up to rounding."""
    first, second = ((path / CHECKPOINT_FILE).read_json()["files"] for path in (one, other))
    assert first[OPTIMIZER_FILE] == second[OPTIMIZER_FILE]
    for path, name in ((one, "one"), (other, "other")):
        path.download_folder(folder / name)
    model, expected = (load_file(folder / name / MODEL_FILE) for name in ("other", "one"))
    assert model.keys() == expected.keys()
    for name, tensor in expected.items():
        if "running_" in name:
            torch.testing.assert_close(model[name], tensor)
        else:
            assert torch.equal(model[name], tensor), name


def test_broken_samples_are_replaced_up_to_the_limit(whole: Ended) -> None:
    assert "2 samples could not be decoded; others replaced them" in whole.out


def test_one_broken_sample_too_many_ends_the_run_and_all_are_named(stopped: Ended) -> None:
    assert "2 samples of the real domain cannot be decoded, --max-quarantined allows 1" in stopped.err
    assert "HCOCO/c05 (a picture with" in stopped.err
    assert "HCOCO/c09 (decoding it ends the process (SIGSEGV))" in stopped.err


def test_the_weights_are_the_same_whatever_dies(
    whole: Ended, killed: Ended, mlflow_server: str, tmp_path: Path
) -> None:
    assert "2 samples could not be decoded; others replaced them" in killed.out
    last = "checkpoint-000000040"
    assert_same_weights(whole.folder / last, killed.folder / last, tmp_path)
    client = connect(mlflow_server)
    (tracked,) = client.search_runs(
        [client.get_experiment_by_name("charmnet").experiment_id], f"tags.run_folder = '{killed.folder}'"
    )
    assert tracked.data.metrics["data/quarantined/real"] == 2


def test_every_sample_counts_once_whatever_dies(
    killed: Ended, command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("run", 1, "steps=44", "max_quarantined=2", "--audit")) == 0
    audit = ["audit", str(killed.folder), "--json", str(tmp_path / "audit.json")]
    assert main(audit) == 0, capsys.readouterr().out
    report = json.loads((tmp_path / "audit.json").read_text())
    assert (
        len(report["attempts"]) >= 4
    )  # stopped at the limit, killed, and one more with another worker count
    assert report["steps"] == 44
    real, rendered = report["domains"]
    assert (real["epochs"], real["missing"], real["twice"]) == (11, 0, 0)
    assert real["substitutes"] >= 2 * 10  # of two samples in each finished epoch
    assert rendered["substitutes"] == 0


def test_a_shard_that_is_gone_ends_the_run_and_is_named_once(
    s3: ObjectStoreForTests, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Location.of(s3.prefix())
    write_dataset(data / "rendered", scene_rows(2, size=(48, 64)), 1)
    (data / "rendered" / "part-00001.parquet").delete()
    storage = ("--rendered", str(data / "rendered"), "--storage", str(data / "runs"), "--tracking", "none")
    idih = ("--recipe", "debug", "--method", "idih", "idih_domain=rendered", "validate_every=0")
    assert main(["train", *storage, *idih, "storage_timeout_seconds=2"]) == 1
    error = capsys.readouterr().err
    assert error.count("part-00001.parquet: the shard is gone") == 1
