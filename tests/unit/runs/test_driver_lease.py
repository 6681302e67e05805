"""One driver a run: who holds it, who is refused, and what frees it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from charmnet.errors import StorageError
from pipelines.config.train_config import TrainConfig
from pipelines.runs import driver_lease
from pipelines.runs.driver_lease import DriverLease, Holder, RunHeldError, check_not_held
from pipelines.runs.run_folder import DRIVER_FILE, RunFolder
from pipelines.runtime.storage import Location
from pipelines.tracking.drivers import DriverProcess


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    return Location.of(tmp_path / "run")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_lease, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(driver_lease, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(driver_lease, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(driver_lease, "_DYING_SECONDS", 0.2)
    monkeypatch.setattr(driver_lease, "_SETTLE_SECONDS", 0.0)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def acquire(folder: Location, messages: list[str] | None = None) -> DriverLease:
    return DriverLease.acquire(folder, 0.0, (messages if messages is not None else []).append)


def hold(folder: Location, **changes: object) -> Holder:
    """Write that another process holds the run."""
    here = Holder.current()
    holder = replace(here, process=replace(here.process, **changes))
    (folder / DRIVER_FILE).write_json(asdict(holder))
    return holder


def test_a_run_is_held_by_a_living_process_and_freed_by_its_death(
    folder: Location, other: subprocess.Popen[bytes]
) -> None:
    hold(folder, pid=other.pid, started_seconds=psutil.Process(other.pid).create_time())
    for refused in (acquire, check_not_held):
        with pytest.raises(RunHeldError, match=rf"held by process {other.pid} on .*alive.*choose another"):
            refused(folder)
    other.kill()
    other.wait()
    check_not_held(folder)
    lease = acquire(folder)
    lease.confirm()
    lease.release()


def test_a_run_elsewhere_is_held_while_its_heartbeats_go_on(folder: Location) -> None:
    holder = hold(folder, host="elsewhere")
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.02):
            count += 1
            (folder / DRIVER_FILE).write_json(asdict(replace(holder, heartbeats=count)))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(RunHeldError, match="on elsewhere"):
            acquire(folder)
    finally:
        stop.set()
        thread.join()
    messages: list[str] = []
    acquire(folder, messages).confirm()
    (message,) = messages
    assert "on elsewhere" in message


def test_a_store_that_is_away_while_a_holder_is_watched_is_waited_for(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(folder, host="elsewhere")
    read, readings = Location.read_json, iter(range(100))

    def read_with_an_outage(path: Location) -> object:
        if next(readings) in (1, 2):
            raise StorageError("no answer")
        return read(path)

    monkeypatch.setattr(Location, "read_json", read_with_an_outage)
    messages: list[str] = []
    DriverLease.acquire(folder, 30.0, messages.append).confirm()
    assert messages[1:] == ["waiting: no answer"]


def test_of_two_that_start_at_once_one_is_refused(folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    first = acquire(folder)
    with monkeypatch.context() as patch:  # as if the second had looked before the first wrote
        patch.setattr(DriverProcess, "is_gone", lambda _: True)
        second = acquire(folder)
    with pytest.raises(RunHeldError, match="is held by process"):
        first.confirm()
    second.confirm()
    first.release()
    second.confirm()


def test_a_driver_learns_that_another_took_its_run(folder: Location) -> None:
    lease, lost = acquire(folder), threading.Event()
    reasons: list[str] = []

    def on_lost(reason: str) -> None:
        reasons.append(reason)
        lost.set()

    with lease.keep(on_lost):
        assert not lost.wait(0.1)
        assert Holder.read(folder / DRIVER_FILE).heartbeats > 0
        while not lost.wait(0.01):  # a heartbeat that was on its way may come after
            hold(folder, host="elsewhere")
    lease.release()
    (reason,) = reasons
    assert "on elsewhere" in reason
    assert (folder / DRIVER_FILE).exists()


def test_no_heartbeat_comes_after_a_run_was_given_free(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, writing = acquire(folder), threading.Event()
    write = Location.write_json

    def write_slowly(path: Location, value: object) -> None:
        writing.set()
        time.sleep(0.1)
        write(path, value)

    monkeypatch.setattr(Location, "write_json", write_slowly)
    with lease.keep(pytest.fail):
        assert writing.wait(10)
    lease.release()
    time.sleep(0.2)
    assert Holder.read(folder / DRIVER_FILE) is None


def test_a_refused_run_leaves_no_trace_and_the_hold_alone_is_no_run(folder: Location) -> None:
    lease = acquire(folder)
    assert RunFolder(folder).check(TrainConfig(), {}, "charmnet") is None
    lease.release()
    assert not folder.local_path.exists()
