"""Workers that hang: how that is told from what only takes long, and what is read of them before they end."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pipelines.training.hangs import DATA, OTHER, UPDATE, Beat, HangWatch, PhaseClock, queued_seconds
from pipelines.training.hung_workers import Finding, describe, examine

CHILD = """
import faulthandler, signal, sys
file = open(sys.argv[1], "w")
faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
def train_worker():
    print("ready", flush=True)
    sum(range(10**12)) if sys.argv[2] == "gil" else sys.stdin.read()
train_worker()
"""


def beat(rank: int, phase: str, seconds: float = 0.0, longest: float = 1.0) -> Beat:
    return Beat(rank, "node", 100 + rank, 0.0, "", 7, phase, seconds, longest)


class Group:
    """Workers that give signs of life to a watch, by a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.watch = HangWatch(lambda: self.now)

    def pass_time(self, seconds: int, phases: dict[int, str], longest: float = 1.0) -> tuple[float, str]:
        """Let time pass; return when a hang was found, in seconds from here, and what was said."""
        for second in range(1, seconds + 1):
            self.now += 1
            for rank, phase in phases.items():
                self.watch.beat(beat(rank, phase, float(second), longest))
            if hang := self.watch.look():
                return second, hang.reason
        return 0.0, ""


@pytest.mark.parametrize("others", [UPDATE, DATA, OTHER])
def test_a_worker_that_says_nothing_hangs_whatever_the_others_do(others: str) -> None:
    group = Group()
    assert group.pass_time(10, {0: UPDATE, 1: UPDATE}) == (0, "")
    seconds, reason = group.pass_time(100, {0: others})
    assert seconds < 60
    assert reason == "rank 1 gave no sign of life for 41 s"


def test_an_update_that_does_not_end_is_a_hang_and_waiting_for_one_that_reads_or_validates_is_none() -> None:
    for phase in (DATA, OTHER):
        assert Group().pass_time(1000, {0: UPDATE, 1: phase}) == (0, "")
    seconds, reason = Group().pass_time(100, {0: UPDATE, 1: UPDATE})
    assert seconds < 60
    assert reason == "ranks 0, 1 did not end an update for 45 s"
    assert Group().pass_time(100, {0: UPDATE, 1: UPDATE}, longest=30.0) == (0, "")
    assert Group().pass_time(300, {0: UPDATE, 1: UPDATE}, longest=0.0) == (0, ""), "the first may compile"


def test_a_watch_that_stood_still_itself_blames_nobody() -> None:
    group = Group()
    group.pass_time(10, {0: UPDATE, 1: UPDATE})
    group.now += 300
    assert group.watch.look() is None
    assert group.pass_time(5, {0: UPDATE, 1: UPDATE}) == (0, "")


def test_workers_that_have_ended_are_forgotten() -> None:
    group = Group()
    group.pass_time(10, {0: UPDATE, 1: UPDATE})
    group.watch.forget([beat(1, OTHER)])
    assert group.pass_time(100, {0: DATA}) == (0, "")


def test_the_longest_update_is_known() -> None:
    phases = PhaseClock()
    phases.enter(UPDATE, 3)
    time.sleep(0.01)
    phases.enter(DATA, 4)
    assert phases.longest_update >= 0.01
    assert phases.step == 4
    assert phases.now()[0] == DATA


def test_waiting_for_a_processor_is_no_part_of_a_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    queued, now = [0.0], [0.0]
    monkeypatch.setattr("pipelines.training.hangs.queued_seconds", lambda _: queued[0])
    monkeypatch.setattr("pipelines.training.hangs.time.monotonic", lambda: now[0])
    phases = PhaseClock()
    now[0], queued[0] = 10.0, 8.0
    assert phases.now() == (OTHER, 2.0)
    phases.enter(UPDATE, 1)
    now[0], queued[0] = 60.0, 55.0
    assert phases.now() == (UPDATE, 3.0)
    now[0] = 110.0
    assert phases.now() == (UPDATE, 53.0)


def test_linux_says_how_long_a_thread_waited_for_a_processor() -> None:
    thread, processors = threading.get_native_id(), os.sched_getaffinity(0)
    if not Path(f"/proc/self/task/{thread}/schedstat").exists():
        pytest.skip("this kernel does not say it")
    os.sched_setaffinity(0, {min(processors)})  # inherited: both have the same processor
    try:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as rival:
            before, deadline = queued_seconds(thread), time.monotonic() + 20
            while queued_seconds(thread) - before < 0.05 and time.monotonic() < deadline:
                pass
            rival.kill()
        assert 0.05 <= queued_seconds(thread) - before < 20
    finally:
        os.sched_setaffinity(0, processors)
    assert queued_seconds(-1) == 0.0


@pytest.mark.parametrize("how", ["stopped", "gil"])
def test_the_stack_of_a_worker_that_hangs_is_read_and_it_is_ended(tmp_path: Path, how: str) -> None:
    path = tmp_path / "stack.txt"
    arguments = [sys.executable, "-c", CHILD, str(path), how]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        if how == "stopped":
            child.send_signal(signal.SIGSTOP)
            while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:
                time.sleep(0.01)
        started = psutil.Process(child.pid).create_time()
        hung = dataclasses.replace(
            beat(1, UPDATE), pid=child.pid, started_seconds=started, stack_file=str(path)
        )
        other = dataclasses.replace(hung, pid=child.pid, started_seconds=started - 60)
        assert examine([other], [other.process])[0].status is None, "another process has its number"
        assert child.poll() is None
        (finding,) = examine([hung], [hung.process])
        assert child.wait(10) == -signal.SIGKILL
        assert "in train_worker" in finding.stack
        assert (finding.status == "stopped") == (how == "stopped")
        (gone,) = examine([hung], [hung.process])
        assert gone.status is None


def test_a_hang_is_described_in_a_line_and_with_stacks() -> None:
    group = Group()
    group.pass_time(10, {0: UPDATE, 1: UPDATE})
    group.pass_time(40, {0: UPDATE})
    group.now += 2
    hang = group.watch.look()
    assert hang is not None
    running, silent = hang.group
    hang = dataclasses.replace(hang, group=(dataclasses.replace(running, step=9), silent))
    findings = [
        Finding(beat(0, UPDATE), "sleeping", "in backward"),
        Finding(beat(1, UPDATE), "stopped", "in read"),
    ]
    line, text = describe(hang, findings)
    assert line.startswith("hang: rank 1 gave no sign of life for 42 s after step 9; rank 1 is stopped by a")
    assert "rank 0, process 100 on node node (sleeping, update after step 7):\nin backward" in text
    assert "\nin read" in text
