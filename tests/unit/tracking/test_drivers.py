"""Drivers that are gone."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time

import psutil

from pipelines.tracking.drivers import DRIVER_TAG, HEARTBEAT_TAG, DriverProcess, driver_is_gone, driver_tags


def tags_of(driver: DriverProcess, silent_seconds: float = 0.0) -> dict[str, str]:
    heartbeat = str(int(time.time() - silent_seconds))
    return {DRIVER_TAG: json.dumps(dataclasses.asdict(driver)), HEARTBEAT_TAG: heartbeat}


def test_a_driver_is_gone_when_its_process_is() -> None:
    here = DriverProcess.current()
    assert not driver_is_gone(driver_tags())
    assert not driver_is_gone(tags_of(here, silent_seconds=1e6))
    assert not driver_is_gone({})
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(child.pid).create_time()
    gone = dataclasses.replace(here, pid=child.pid, started_seconds=started)
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert driver_is_gone(tags_of(gone)), "nobody asked for its exit status yet"
    child.wait()
    assert driver_is_gone(tags_of(dataclasses.replace(here, pid=child.pid, started_seconds=started)))
    assert driver_is_gone(tags_of(dataclasses.replace(here, started_seconds=here.started_seconds - 60)))
    assert driver_is_gone(tags_of(dataclasses.replace(here, boot_id="an earlier one")))


def test_a_driver_elsewhere_is_gone_when_it_was_silent_for_long() -> None:
    elsewhere = dataclasses.replace(DriverProcess.current(), host="another-machine")
    assert not driver_is_gone(tags_of(elsewhere, silent_seconds=300))
    assert not driver_is_gone(tags_of(elsewhere, silent_seconds=300 + 600)), "its clock is ten minutes behind"
    assert not driver_is_gone(tags_of(elsewhere, silent_seconds=-600)), "or ahead"
    assert driver_is_gone(tags_of(elsewhere, silent_seconds=2400))
