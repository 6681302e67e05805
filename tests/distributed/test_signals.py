"""A run that starts its own Ray, in a batch system: a deep temporary folder, and signals to the group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pipelines.commands.cli import main
from pipelines.runtime.retry import wait_until
from tests.factories import make_iharmony4, make_rdharmony


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


def test_sigterm_to_the_process_group_saves_a_checkpoint(tmp_path: Path) -> None:
    temporary = tmp_path / ("x" * 90)
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "pipelines", "train", *sharded(tmp_path), "--tracking", "none"]
    command += ["--storage", str(tmp_path / "runs"), "--name", "stopped"]
    command += ["--recipe", "debug", "steps=100000", "checkpoint_every=0", "log_every=1"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment | {"TMPDIR": str(temporary)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "pairs/s" in log.read_text() or process.poll() is not None, 240, log.read_text)
        assert process.poll() is None, log.read_text()
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(120) == 143, log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    names = [path.name for path in (tmp_path / "runs" / "stopped").iterdir()]
    assert [name for name in names if name.startswith("checkpoint-")], log.read_text()
