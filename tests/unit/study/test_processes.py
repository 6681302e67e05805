from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pipelines.runtime.cluster import ClusterCapacity
from pipelines.study.processes import (
    CommandFailedError,
    Processes,
    StoppedError,
    models_at_work,
    room,
    side_by_side,
)


@pytest.mark.parametrize(
    ("cpus", "gpus", "workers", "expected"),
    [
        *((1, 0, 1, 1), (2, 0, 1, 1), (4, 0, 1, 2), (16, 0, 3, 4)),
        *((16, 8, 1, 8), (16, 8, 4, 2), (4, 8, 1, 2), (2, 1, 4, 1)),
    ],
)
def test_room_leaves_a_cpu_to_the_data_of_each_run(cpus: int, gpus: int, workers: int, expected: int) -> None:
    assert room(ClusterCapacity(cpus, gpus), workers) == expected


def test_a_translation_takes_the_room_of_a_run() -> None:
    assert models_at_work(ClusterCapacity(16, 8), 2) == 2
    assert models_at_work(ClusterCapacity(16, 0), 2) == 3


def test_tasks_run_side_by_side_up_to_the_places_there_are() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def task() -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return running

    outcomes = side_by_side([task] * 6, lambda: 2, lambda: False)
    assert len([outcome.result() for outcome in outcomes]) == 6
    assert most == 2


def test_a_task_that_fails_stops_no_other() -> None:
    def fail() -> str:
        raise ValueError("mine")

    first, second = side_by_side([fail, lambda: "done"], lambda: 1, lambda: False)
    assert isinstance(first.exception(), ValueError)
    assert second.result() == "done"


def test_no_task_is_begun_after_a_stop() -> None:
    stopped = threading.Event()
    outcomes = side_by_side([stopped.set, stopped.set], lambda: 1, stopped.is_set)
    assert len(outcomes) == 1


def test_output_is_shown_with_its_name_and_a_failure_has_the_commands_reason() -> None:
    shown: list[tuple[str, str]] = []
    processes = Processes({}, lambda name, line: shown.append((name, line)))
    processes.run("version", ["--version"])
    assert [name for name, _ in shown] == ["version"]
    with pytest.raises(CommandFailedError, match="--storage is missing"):
        processes.run("train", ["train", "steps=3"])


def test_a_command_that_was_killed_says_by_what(tmp_path: Path) -> None:
    dies = "import os, signal\nprint('step 4', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    (tmp_path / "sitecustomize.py").write_text(dies)  # which Python runs first
    processes = Processes({"PYTHONPATH": str(tmp_path)}, lambda name, line: None)
    with pytest.raises(CommandFailedError, match=r"^killed by SIGKILL after: step 4$"):
        processes.run("version", ["--version"])


def test_a_stop_ends_what_runs_and_begins_nothing() -> None:
    processes = Processes({}, lambda name, line: None)
    processes.stop()
    with pytest.raises(StoppedError, match="not begun"):
        processes.run("version", ["--version"])
