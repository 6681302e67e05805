"""The tracker while its server is down, its process is killed or the disk is full."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.runtime.retry import wait_until
from pipelines.services.local import TrackingServer
from pipelines.tracking import close_orphans, send_unsent
from tests.fixtures.tracked_runs import EXPERIMENT, expected, log_steps, open_run, points, the_run


@pytest.fixture(scope="module")
def frail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """Start a server that this module may kill."""
    server = TrackingServer(tmp_path_factory.mktemp("frail"))
    server.start()
    yield server
    server.stop(grace_seconds=1)


def test_nothing_is_lost_while_the_server_is_away(
    frail_server: TrackingServer, key: str, tmp_path: Path
) -> None:
    """Killed in mid-run and away when the run ends; another run begins in the meantime."""
    uri, begun_before, begun_after = frail_server.url, f"{key} a", f"{key} b"
    tracker = open_run(uri, begun_before, tmp_path / "a" / "driver")
    log_steps(tracker, 1, 500)
    wait_until(lambda: tracker.run_id, 60, "the run has not begun", poll_seconds=0.05)
    log_steps(tracker, 501, 1000)
    frail_server.stop(grace_seconds=0)
    started = time.perf_counter()
    log_steps(tracker, 1001, 1500)
    assert (time.perf_counter() - started) / 500 < 0.002  # 0.1 ms on an idle machine
    assert not tracker.close("FINISHED", timeout_seconds=1)

    later = open_run(uri, begun_after, tmp_path / "b" / "driver")
    log_steps(later, 1, 100)
    begun = time.time() * 1000
    left = tmp_path / "a" / "driver"
    assert send_unsent(tmp_path, uri, timeout_seconds=1).kept == [left]
    frail_server.start()
    assert frail_server.url == uri
    assert send_unsent(tmp_path, uri, skip_run_key=begun_before).sent == []
    assert send_unsent(tmp_path, uri, timeout_seconds=60).sent == [left]
    assert not left.exists()
    assert the_run(uri, begun_before).info.status == "FINISHED"
    assert points(uri, begun_before) == expected(1, 1500)
    assert later.close("FINISHED")
    assert points(uri, begun_after) == expected(1, 100)
    times = the_run(uri, begun_after).info
    assert times.start_time <= begun <= times.end_time  # not when the server was there again
    assert close_orphans(uri, EXPERIMENT) == []


KILLED_DRIVER = """
    import sys, time
    from pathlib import Path
    from pipelines.tracking import RunIdentity, open_tracker
    uri, key, folder = sys.argv[1:]
    identity = RunIdentity(experiment="tracking", run_key=key, run_name=f"run {key}")
    tracker = open_tracker(uri, identity, Path(folder))
    for step in range(1, 101):
        tracker.log_metrics({"loss/total": step}, step)
    while tracker.run_id is None:
        time.sleep(0.05)
    for step in range(101, 301):
        tracker.log_metrics({"loss/total": step}, step)
    print("logged", flush=True)
    time.sleep(60)
"""


def test_a_killed_driver_leaves_no_running_run(mlflow_server: str, key: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED_DRIVER), mlflow_server, key, str(tmp_path)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"logged\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    run = the_run(mlflow_server, key)
    assert run.info.status == "RUNNING"
    assert run.info.run_id in close_orphans(mlflow_server, EXPERIMENT)
    assert the_run(mlflow_server, key).info.status == "KILLED"

    tracker = open_run(mlflow_server, key, tmp_path, resume_step=250)
    log_steps(tracker, 251, 400)
    time.sleep(1)
    assert the_run(mlflow_server, key).info.status == "RUNNING"
    assert tracker.close("FINISHED")
    assert the_run(mlflow_server, key).info.run_id == run.info.run_id
    assert the_run(mlflow_server, key).info.status == "FINISHED"
    assert points(mlflow_server, key) == expected(1, 400)


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from pipelines.tracking import RunIdentity, open_tracker
    uri, key, folder = sys.argv[1:]
    identity = RunIdentity(experiment="tracking", run_key=key, run_name=f"run {key}")
    tracker = open_tracker(uri, identity, Path(folder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    for step in range(1, 1001):
        tracker.log_metrics({"loss/total": step}, step)
    tracker.log_text("x" * 30_000, artifact_path="large.txt")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    raise SystemExit(0 if tracker.close("FINISHED") else 3)
"""


def test_a_full_disk_drops_with_a_count_and_never_raises(
    mlflow_server: str, key: str, tmp_path: Path
) -> None:
    script = textwrap.dedent(FULL_DISK).replace("(20_000, 20_000)", "(20_000, resource.RLIM_INFINITY)")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", script, mlflow_server, key, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
    arrived = points(mlflow_server, key)
    assert arrived == expected(1, len(arrived))
    assert 100 < len(arrived) < 1000
    ((_, dropped),) = points(mlflow_server, key, "tracker/driver/dropped")
    assert dropped == 1000 - len(arrived) + 1
    assert the_run(mlflow_server, key).info.status == "FINISHED"
