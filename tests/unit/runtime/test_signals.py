"""SIGTERM and SIGINT end a command in order: with their status, and nothing left in the temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.runtime.retry import wait_until
from pipelines.runtime.signals import exiting_on_signals, handling_signals

HOLDS_FILES = """
import tempfile, time
from pipelines.runtime.ray_folders import short_folder
from pipelines.runtime.signals import exiting_on_signals
with exiting_on_signals(), tempfile.TemporaryDirectory() as folder:
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


LIBRARY_SWALLOWS = """
import os, signal, sys
from pipelines.runtime.signals import exiting_on_signals, raise_if_stopped
with exiting_on_signals():
    try:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    except BaseException:
        pass
    if sys.argv[2] == "asked":
        raise_if_stopped()
        print("went on")
    elif sys.argv[2] == "failed":
        raise RuntimeError("a worker that the signal ended")
"""


@pytest.mark.parametrize("end", ["asked", "failed", "returned"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_what_follows_from_a_signal_is_its_end(name: str, end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY_SWALLOWS, name, end], capture_output=True, text=True, timeout=60
    )
    line = {"SIGTERM": "stopped by SIGTERM", "SIGINT": "interrupted"}[name]
    assert (done.returncode, done.stdout) == (128 + getattr(signal, name), "")
    assert done.stderr == f"charmnet: {line}\n"


def test_what_was_handled_or_ignored_before_stays_so() -> None:
    def own(*_: object) -> None:
        """Handle a signal."""

    before = signal.signal(signal.SIGTERM, own), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with exiting_on_signals():
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with exiting_on_signals():
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


def test_a_function_takes_the_signals_inside() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    taken: list[int] = []
    with handling_signals(lambda number, _: taken.append(number)):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert taken == [signal.SIGTERM, signal.SIGINT]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_ends_by_a_signal_while_it_is_imported(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "evaluate", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    status = Path(f"/proc/{process.pid}/status")

    def handles() -> bool:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1) or process.poll() is not None

    wait_until(handles, 60, "no handler was set", poll_seconds=0.001)
    process.send_signal(number)
    written, said = process.communicate(timeout=60)
    assert (process.returncode, written) == (128 + number, "")
    assert said.startswith("charmnet: ")
    assert said.count("\n") == 1


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
