"""SIGTERM ends a command in order: with its exit status, and nothing left in the temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.runtime.retry import wait_until

HOLDS_FILES = """
import tempfile, time
from pipelines.runtime.ray_processes import short_folder
from pipelines.runtime.signals import exiting_on_sigterm
with exiting_on_sigterm(), tempfile.TemporaryDirectory() as folder:
    print(folder, short_folder(folder + "/" + "x" * 90), flush=True)
    time.sleep(60)
"""


def test_what_a_command_holds_is_given_back() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_FILES], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    folders = [Path(name) for name in process.stdout.readline().split()]
    assert len(folders) == 2
    assert all(os.path.lexists(folder) for folder in folders)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (143, "charmnet: stopped by SIGTERM\n")
    assert not any(os.path.lexists(folder) for folder in folders)
    assert not folders[1].parent.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_ends_by_a_signal_in_the_middle_of_its_reading(tmp_path: Path, number: int) -> None:
    os.mkfifo(tmp_path / "list.txt")  # whose reader waits until something is written
    command = ["shard", "iharmony4", "--source", str(tmp_path), "--list", "list.txt", "--dest"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *command, str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
    )

    held: list[int] = []

    def reads() -> bool:
        process.send_signal(signal.SIGSTOP)  # or it would go on before the signal is sent
        try:
            held.append(os.open(tmp_path / "list.txt", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads it yet
            process.send_signal(signal.SIGCONT)
            return process.poll() is not None
        return True

    wait_until(reads, 120, "the list was not read")
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    os.close(held[0])
    assert process.returncode == 128 + number, said
    assert said.startswith("charmnet: ")
    assert "Traceback" not in said
