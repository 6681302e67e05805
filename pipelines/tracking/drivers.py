"""Drivers of runs: tags that show whether a driver is alive, and closing the runs of those that died."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pipelines.tracking.server import connect

RUN_KEY_TAG = "charmnet.run_key"
DRIVER_TAG = "charmnet.driver"
HEARTBEAT_TAG = "charmnet.driver.heartbeat"
HEARTBEAT_SECONDS = 60.0
SILENT_SECONDS = 1800.0
"""After so long without a heartbeat a driver elsewhere counts as dead; clocks may be ten minutes apart."""

_START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class DriverProcess:
    """Process that drives a run, distinguished from a later one of the same number by its start time."""

    host: str
    pid_namespace: str
    boot_id: str
    pid: int
    started_seconds: float
    """Start time, in seconds since 1970."""

    @classmethod
    def current(cls) -> DriverProcess:
        """Describe the calling process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            pid_namespace=_pid_namespace(),
            boot_id=_boot_id(),
            pid=pid,
            started_seconds=round(psutil.Process(pid).create_time(), 1),
        )

    def is_gone(self) -> bool | None:
        """Tell whether the process has ended; None if this machine cannot see it."""
        here = DriverProcess.current()
        if self.host != here.host or self.pid_namespace != here.pid_namespace:
            return None
        if self.boot_id != here.boot_id:
            return True
        try:
            process = psutil.Process(self.pid)
            started: float = process.create_time()
            if process.status() == psutil.STATUS_ZOMBIE:  # ended, and nobody asked for its exit status
                return True
        except psutil.NoSuchProcess:
            return True
        return abs(started - self.started_seconds) > _START_TOLERANCE_SECONDS


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(round(psutil.boot_time()))


def _pid_namespace() -> str:
    path = Path("/proc/self/ns/pid")
    return str(path.readlink()) if path.is_symlink() else "host"


def driver_tags() -> dict[str, str]:
    """Return the tags by which other processes see whether the run's driver, this process, is alive."""
    return {DRIVER_TAG: json.dumps(asdict(DriverProcess.current())), **heartbeat_tags()}


def heartbeat_tags() -> dict[str, str]:
    """Return the driver's heartbeat, for machines that cannot see its process."""
    return {HEARTBEAT_TAG: str(int(time.time()))}


def driver_is_gone(tags: Mapping[str, str]) -> bool:
    """Tell whether the driver in a run's tags has ended.

    Its process decides if it ran on this machine, else the age of its heartbeat.
    """
    if DRIVER_TAG not in tags:
        return False
    gone = DriverProcess(**json.loads(tags[DRIVER_TAG])).is_gone()
    if gone is not None:
        return gone
    return time.time() - float(tags.get(HEARTBEAT_TAG, "0")) > SILENT_SECONDS


def close_orphans(tracking_uri: str, experiment: str, *, unsent: Collection[str] = ()) -> list[str]:
    """Set the runs of an experiment whose driver has died from RUNNING to KILLED.

    A run that is resumed later becomes RUNNING again. Call `send_unsent` first: the unsent entries of a run
    may hold its final status.

    Args:
        tracking_uri: address of the server.
        experiment: name of the experiment.
        unsent: keys of runs that are left as they are, since records of them are not sent yet.

    Returns:
        The ids of the runs that were closed.

    Raises:
        MlflowException: the server does not answer.
    """
    client = connect(tracking_uri)
    stored = client.get_experiment_by_name(experiment)
    if stored is None:
        return []
    running = client.search_runs([stored.experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    orphans: list[str] = [
        run.info.run_id
        for run in running
        if driver_is_gone(run.data.tags) and run.data.tags.get(RUN_KEY_TAG) not in unsent
    ]
    for run_id in orphans:
        client.set_terminated(run_id, "KILLED")
    return orphans
