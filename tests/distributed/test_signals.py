"""Commands that start their own Ray, in a batch system: a deep temporary folder, and signals to the group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.methods import CharmNetMethod
from charmnet.weights import save_checkpoint
from pipelines.commands.cli import main
from pipelines.runtime.retry import wait_until
from tests.factories import foreground, make_iharmony4, make_rdharmony, photograph

PICTURES = 200


@dataclass(frozen=True)
class Command:
    """A command in a process group of its own, with a temporary folder that is too long for sockets."""

    process: psutil.Popen
    temporary: Path
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    def family(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.process.children(recursive=True)
        return []

    def signal_group(self, number: int, moment: Callable[[list[psutil.Process]], bool]) -> None:
        """Send a signal to the group at a moment, and see that everything ends as it should."""
        wait_until(
            lambda: self.process.poll() is not None or moment(self.family()),
            240,
            self.said,
            poll_seconds=0.05,
        )
        assert self.process.poll() is None, self.said()
        family = self.family()
        os.killpg(self.process.pid, number)
        assert self.process.wait(120) == 128 + number, self.said()
        left_files = [path.name for path in self.temporary.iterdir()]
        assert not [name for name in left_files if not name.startswith("torchinductor_")]  # torch's cache
        assert not links_to(self.temporary)
        _, left = psutil.wait_procs(family, 10)
        assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)


def links_to(folder: Path) -> list[str]:
    """Return the short links for sockets that lead beneath a folder."""
    links = [str(link) for base in ("/tmp", "/var/tmp", "/dev/shm") for link in Path(base).glob("ray-*/t")]
    return [link for link in links if os.path.realpath(link).startswith(str(folder))]


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[Command]:
    """Inside, a command runs; it is ended by force if it still does at the end."""
    temporary = folder / ("x" * 90)
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    log = folder / "log"
    with log.open("wb") as output:
        process = psutil.Popen(
            [sys.executable, "-m", "pipelines", *arguments],
            env=environment | {"TMPDIR": str(temporary), "COLUMNS": "200"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Command(process, temporary, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def sharded(folder: Path) -> list[str]:
    """Make small data sets beneath a folder; return the options of `charmnet train` that name them."""
    make_iharmony4(folder / "in" / "real", photographs=8)
    make_rdharmony(folder / "in" / "rendered", scenes=2, composites=False)
    lists = ["--list", "IHD_train.txt"]
    options = []
    for domain, layout in (("real", ["iharmony4", *lists]), ("rendered", ["rdharmony"])):
        source, dest = str(folder / "in" / domain), str(folder / domain)
        assert main(["shard", *layout, "--source", source, "--dest", dest]) == 0
        options += [f"--{domain}", dest]
    return options


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a model, pictures with masks, and photographs with lists: more than one process does."""
    folder, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    save_checkpoint(folder / "model", CharmNetMethod(width=4, seed=0), {"step": 1})
    (folder / "pictures").mkdir()
    picture, mask = (
        encode_jpeg(photograph(rng, (500, 700))),
        encode_png(foreground(rng, (500, 700)) * np.uint8(255)),
    )
    for number in range(PICTURES):
        (folder / "pictures" / f"{number}.jpg").write_bytes(picture)
        (folder / "pictures" / f"{number}.mask.png").write_bytes(mask)
    make_iharmony4(folder / "released", photographs=PICTURES)
    return folder


def ray_starts(family: list[psutil.Process]) -> bool:
    names = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(process.name())
    return "gcs_server" in names


@pytest.mark.parametrize(
    ("command", "moment", "number"),
    [
        ("harmonize", "start", signal.SIGTERM),
        ("shard", "start", signal.SIGINT),
        ("shard", "work", signal.SIGTERM),
        ("harmonize", "work", signal.SIGINT),
    ],
)
def test_a_signal_to_the_group_ends_a_command_and_its_ray(
    tmp_path: Path, inputs: Path, command: str, moment: str, number: int
) -> None:
    options = {
        "harmonize": ["--model", str(inputs / "model"), "--source", str(inputs / "pictures")],
        "shard": ["iharmony4", "--source", str(inputs / "released"), "--list", "IHD_train.txt"],
    }
    dest = tmp_path / "out"

    def works(_: list[psutil.Process]) -> bool:
        return any(path.suffix in (".jpg", ".parquet") for path in dest.rglob("*"))

    with started(tmp_path, command, *options[command], "--dest", str(dest)) as running:
        running.signal_group(number, ray_starts if moment == "start" else works)
        line = {signal.SIGTERM: "stopped by SIGTERM", signal.SIGINT: "interrupted"}[number]
        assert running.said().splitlines()[-1] == f"charmnet: {line}"
        assert "Traceback" not in running.said()
        assert "rror" not in running.said()


def test_sigterm_to_the_process_group_saves_a_checkpoint(tmp_path: Path) -> None:
    command = ["train", *sharded(tmp_path), "--tracking", "none"]
    command += ["--storage", str(tmp_path / "runs"), "--name", "stopped"]
    command += ["--recipe", "debug", "steps=100000", "checkpoint_every=0", "log_every=1"]
    with started(tmp_path, *command) as running:
        running.signal_group(signal.SIGTERM, lambda _: "pairs/s" in running.said())
        names = [path.name for path in (tmp_path / "runs" / "stopped").iterdir()]
        assert [name for name in names if name.startswith("checkpoint-")], running.said()
